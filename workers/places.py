"""The folder a task was given: its upload, and what it makes, by name and by address.

Where it lies and at which address it is served are told in the task's arguments; nothing here knows more.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from headway.errors import Failure


class Place(NamedTuple):
    folder: Path
    address: str  # ends with a slash

    @classmethod
    def at(cls, folder: str, address: str) -> "Place":
        """A Failure tells whoever set it up what is wrong if the folder is not here."""
        if not Path(folder).is_dir():
            raise Failure(
                "The task's folder is not on this machine. Workers and web processes must share the folder"
                " HEADWAY_DATA, under the same path; it is emptied after a day."
            )
        return cls(Path(folder), address)

    def url(self, name: str) -> str:
        return f"{self.address}{name}"

    def keep(self, name: str, value: Any) -> str:
        """Store a value as JSON and return its address."""
        (self.folder / name).write_text(json.dumps(value))
        return self.url(name)


@contextmanager
def needed_once(path: str) -> Iterator[Path]:
    """A file that is deleted when it has been dealt with, well or badly. A Failure if it is gone already."""
    file = Path(path)
    if not file.is_file():
        raise Failure("The uploaded file is gone. Upload it again.")
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)
