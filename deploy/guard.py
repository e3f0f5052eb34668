"""Ends a family of processes when its head dies, even by SIGKILL.

A helper in a session of its own reads process groups from a pipe that only the head writes to. The
end of the file is the head's end, and then every group is killed. PR_SET_PDEATHSIG would do it for
the head's children but not for theirs: a gunicorn or a prefork worker killed that way leaves its
own children behind. And it exists on Linux only.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress


class Guard:
    """Start one before the first process; every process must lead a group (start_new_session). Any thread may tell."""

    def __init__(self) -> None:
        self._telling = threading.Lock()
        self._helper = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def watch(self, group: int) -> None:
        self._tell(f"+{group}")

    def forget(self, group: int) -> None:
        """Call it when a group has ended: its number may soon be somebody else's."""
        self._tell(f"-{group}")

    def close(self) -> None:
        """Kill what is still watched, and return when the helper has done so."""
        self._helper.communicate()

    def _tell(self, line: str) -> None:
        assert self._helper.stdin is not None
        with (
            self._telling,
            suppress(BrokenPipeError),
        ):  # it was killed: its work is lost, ours goes on
            self._helper.stdin.write(f"{line}\n")
            self._helper.stdin.flush()


def kill(group: int) -> None:
    """Kill a group; one that is gone is what was wanted."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def main() -> None:
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        kill(group)


if __name__ == "__main__":
    main()
