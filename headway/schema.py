"""The wire's JSON schema, made from the structs: `python -m headway.schema > docs/schema.json`."""

import json
from typing import Any

import msgspec

from headway import events

#: What one `data:` line of a stream can be.
Said = (
    events.Event | events.Snapshot | events.Stalled | events.Position | events.Link | events.Ended
)


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12 for any event of a stream; the state is `$defs/State`."""
    (said,), definitions = msgspec.json.schema_components([Said], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Headway events, wire version {events.WIRE_VERSION}",
        **said,
        "$defs": definitions,
    }


def main() -> None:
    print(json.dumps(schema(), indent=2))


if __name__ == "__main__":
    main()
