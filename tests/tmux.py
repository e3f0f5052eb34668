"""A terminal that tests can look at: a tmux server of the test's own, with one shell in it."""

import shlex
import subprocess
from collections.abc import Callable, Mapping
from typing import Self

from tests.conftest import require
from tests.processes import ROOT, Process, wait_until


class Terminal(Process):
    """`screen()` is what a person sees."""

    name = "tmux"

    def __init__(
        self, *, width: int = 90, height: int = 30, env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__([])
        self._socket = self.folder / "socket"
        self._tmux = [require("tmux"), "-S", str(self._socket), "-f", "/dev/null"]
        self.command = [*self._tmux, "-D"]  # no daemon: it ends with us
        self._size = ["-x", str(width), "-y", str(height)]
        self._env = {"LC_ALL": "C.UTF-8", "ENV": "", **(env or {})}

    def ready(self, log: str) -> bool:
        return self._socket.exists()

    def __enter__(self) -> Self:
        super().__enter__()
        said = [word for name, value in self._env.items() for word in ("-e", f"{name}={value}")]
        self._run("new-session", "-d", *self._size, "-c", str(ROOT), *said, "/bin/sh")
        self.shows(str.strip)  # a prompt
        return self

    def type(self, *words: str) -> None:
        """Enter a command; how it ended will be on the screen as `[code 0]`."""
        self._run("send-keys", "-l", f'clear; {shlex.join(words)}; echo "[code $?]"')
        self._run("send-keys", "Enter")

    def press(self, key: str) -> None:
        self._run("send-keys", key)

    def screen(self, *, escapes: bool = False) -> str:
        return self._run("capture-pane", "-p", *(["-e"] if escapes else []))

    def history(self) -> str:
        """The screen, and what has scrolled away."""
        return self._run("capture-pane", "-p", "-S", "-")

    def cursor_is_visible(self) -> bool:
        return self._run("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def shows(self, what: str | Callable[[str], object], seconds: float = 30) -> str:
        """Wait until the screen shows it, and return the screen."""
        seen = ""

        def look() -> bool:
            nonlocal seen
            seen = self.screen()
            return bool(what(seen) if callable(what) else what in seen)

        try:
            wait_until(look, seconds)
        except AssertionError:
            raise AssertionError(f"the screen never showed {what!r}:\n{seen}") from None
        return seen

    def _run(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=True)
        return done.stdout
