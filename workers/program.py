"""Another program that works for a task, and never outlives it.

The program runs under a shell that holds the reading end of a pipe. When the pipe closes, the shell kills the
program: on leaving the block, and just as well when this process is killed, by whatever signal. (PR_SET_PDEATHSIG
does that on Linux only, and counts from the death of a thread.) It leads a session of its own, so that Ctrl-C
in a worker's terminal lets running tasks finish.
"""

import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

LAST_LINES = 20  # kept of what it said, for the log
LINE_BYTES = 64 * 1024  # longer lines arrive in pieces

_SHELL = """
exec 3<&0
"$@" </dev/null 3<&- & program=$!
{ read _ <&3; kill -9 $program; } 2>/dev/null & guard=$!
exec 3<&-
wait $program; code=$?
kill $guard 2>/dev/null
exit $code
"""


class ProgramFailed(Exception):
    """It ended with an error. The text is what it said last: for the log, not for viewers."""


class Program:
    """`with Program(command) as lines:` yields what it says, line by line, on both its outputs.

    Iterating to the end raises ProgramFailed when the program failed. Leaving the block ends it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SHELL, "sh", *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __iter__(self) -> Iterator[str]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(LINE_BYTES):
            said = line.decode(errors="replace").rstrip()
            self._last.append(said)
            yield said
        if code := self._process.wait():
            last = "\n".join(self._last)
            raise ProgramFailed(f"{self._command[0]} ended with exit code {code}:\n{last}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def run(command: Sequence[str]) -> None:
    """Run it to its end; ProgramFailed when it fails."""
    with Program(command) as lines:
        for _ in lines:
            pass
