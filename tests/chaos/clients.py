"""Headway's own clients as viewers: the Python one in a thread, the JavaScript one in a process of its own."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any, Self

import msgspec

from headway.client import LinkState, Refused, Watch, watch
from headway.told import Told
from tests.chaos.records import Closed, Got, Opened, Record
from tests.chaos.viewers import Log
from tests.processes import ROOT

_records = msgspec.json.Decoder(Record)


class PythonViewer:
    """`headway.client.watch`, all tasks on one connection."""

    def __init__(self, name: str, site: str, tasks: Sequence[str], log: Log) -> None:
        self.name = name
        self._log = log
        self._connection = 0
        self._open = False
        self._cursors: dict[str, str | None] = dict.fromkeys(tasks)
        self._watch: Watch = watch(*tasks, base_url=site, tries=None, on_link=self._linked)
        log.expect(name, tasks)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.close()
        self._thread.join(10)

    def _run(self) -> None:
        try:
            for told in self._watch.events():
                self._hear(told)
        except Refused as refused:
            self._log.refused[self.name] = f"told {refused.status}"
        self._log.over.add(self.name)
        self._closed("ended")

    def _hear(self, told: Told) -> None:
        kind = json.loads(told.json)["type"]
        task = told.task or ""
        self._log.see(
            Got(self.name, self._connection, time.time(), task, told.cursor, kind, told.json)
        )
        if told.cursor or kind == "snapshot":
            self._cursors[task] = told.cursor

    def _linked(self, link: LinkState) -> None:
        if link.status == "open" and not self._open:
            self._open = True
            self._connection += 1
            cursors = dict(self._cursors)
            self._log.see(Opened(self.name, self._connection, time.time(), cursors))
        elif link.status == "reconnecting":
            self._closed("cut")

    def _closed(self, why: Any) -> None:
        if self._open:
            self._open = False
            self._log.see(Closed(self.name, self._connection, time.time(), why))


class NodeViewer:
    """headway.js in node: see viewer.mjs."""

    def __init__(self, node: str, name: str, site: str, tasks: Sequence[str], log: Log) -> None:
        self.name = name
        self._log = log
        self._command = [node, str(ROOT / "tests/chaos/viewer.mjs"), name, site, *tasks]
        log.expect(name, tasks)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_quiet()
        )
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join(10)
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()

    def _run(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                return  # killed while it spoke
            if line.startswith(b'["refused"'):
                self._log.refused[self.name] = f"told {json.loads(line)[2:]}"
            elif line.startswith(b'["over"'):
                self._log.over.add(self.name)
            else:
                self._log.see(_records.decode(line))


def _quiet() -> dict[str, str]:
    return os.environ | {"NODE_NO_WARNINGS": "1"}
