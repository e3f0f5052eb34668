"""The committed JSON schema is the one the structs make."""

from pathlib import Path

import msgspec
import pytest

from headway import events, schema

ROOT = Path(__file__).parents[2]
COMMAND = "python -m headway.schema > docs/schema.json"


def test_the_committed_schema_is_what_the_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    schema.main()
    committed = ROOT.joinpath("docs", "schema.json").read_text("utf-8")
    assert capsys.readouterr().out == committed, f"The wire has changed. Run: {COMMAND}"


def test_the_module_says_the_command_that_makes_it() -> None:
    assert COMMAND in (schema.__doc__ or "")


def test_it_describes_all_that_a_stream_can_say_by_its_type() -> None:
    made = schema.schema()
    kinds = {kind.__struct_config__.tag: kind.__name__ for kind in schema.Said.__args__}
    assert made["discriminator"]["mapping"] == {
        tag: f"#/$defs/{name}" for tag, name in kinds.items()
    }
    assert set(made["$defs"]) == {*kinds.values(), "State", "Stage", "Error", "Gap"}
    assert list(made["$defs"]["State"]["properties"]) == list(events.State.__struct_fields__)


def test_it_says_nothing_of_those_who_report_nor_of_owners() -> None:
    said = msgspec.json.encode(schema.schema())
    for private in (b"owner", b"nonce", b"Execution", b"Supervisor", b"Sender"):
        assert private not in said
