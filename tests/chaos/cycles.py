"""Streams opened and closed, over and over: what does the web process hold in the end that it did not before?

`python -m tests.chaos.cycles --cycles 100000` prints what it held now and then; it should be flat.
"""

import argparse
import json
import os
import random
import socket
import struct
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from headway.journal import Journal
from tests.proc import children
from tests.processes import HOST, RedisServer, Web, wait_until
from tests.producers import Producer, execution, finished, started

TASKS = 50
AT_ONCE = 8
LOOKS = 10
RESET = struct.pack("ii", 1, 0)  # close() sends RST
WAYS = ("FIN", "RST", "before the first byte", "unknown", "finished")


class Held(NamedTuple):
    """What a web process holds."""

    cycles: int
    files: int
    megabytes: float
    subscriptions: int
    greenlets: int
    threads: int
    topics: int
    streams: int


def run(cycles: int, seed: int) -> Iterator[Held]:
    """What is held before, now and then, and when all have gone."""
    with RedisServer() as redis, Web(redis.url, app="tests.chaos.counted:app") as web:
        write(redis.url)
        cycle(web, 10 * len(WAYS), seed)  # what is made once is made now
        yield settled(redis, web, 0)
        for look in range(1, LOOKS + 1):
            cycle(web, cycles // LOOKS, seed + look)
            yield look_at(redis, web, look * (cycles // LOOKS))
        yield settled(redis, web, cycles)


def write(url: str) -> None:
    journal = Journal(url, timeout=5)
    for n in range(TASKS):
        Producer(journal, execution("n", task=f"t{n}")).say(started(task=f"t{n}"))
    over = Producer(journal, execution("n", task="over"))
    over.say(started(task="over"), finished(task="over"))


def cycle(web: Web, times: int, seed: int) -> None:
    def one(n: int) -> None:
        random_ = random.Random(seed * 1_000_003 + n)
        visit(web.port, random_.choice(WAYS), f"t{random_.randrange(TASKS)}")

    with ThreadPoolExecutor(AT_ONCE) as visitors:
        for _ in visitors.map(one, range(times)):
            pass


def visit(port: int, way: str, task: str) -> None:
    """Open a stream, and leave it in one of the ways there are."""
    task = {"unknown": "nobody", "finished": "over"}.get(way, task)
    with socket.create_connection((HOST, port), 30) as viewer:
        viewer.sendall(f"GET /headway/tasks/{task}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        told = b""
        while way != "before the first byte" and b'{"type":"snapshot"' not in told:
            if not (piece := viewer.recv(65536)) or piece.startswith(b"HTTP/1.1 404"):
                break
            told += piece
        if way == "RST":
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def look_at(redis: RedisServer, web: Web, cycles: int) -> Held:
    (worker,) = children(web.pid)
    status = Path(f"/proc/{worker}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    with urllib.request.urlopen(f"{web.url}/held", timeout=30) as answer:
        held = json.load(answer)
    return Held(
        cycles,
        len(os.listdir(f"/proc/{worker}/fd")),
        round(int(resident.split()[1]) / 1024, 1),
        len(redis.cli("PUBSUB", "CHANNELS")),
        **held,
    )


def settled(redis: RedisServer, web: Web, cycles: int) -> Held:
    """When nobody watches any more, and the hub has noticed."""
    wait_until(lambda: not redis.cli("PUBSUB", "CHANNELS"), 30, "the end of the subscriptions")
    wait_until(lambda: not look_at(redis, web, cycles).streams, 30, "the end of the streams")
    looks = [look_at(redis, web, cycles) for _ in range(5)]
    return looks[0]._replace(files=min(look.files for look in looks))  # a look has a connection


def grown(before: Held, after: Held) -> list[str]:
    """What there is more of than there was, memory aside."""
    return [
        f"{name}: {was} before, {now} after"
        for name, was, now in zip(Held._fields, before, after, strict=True)
        if name not in ("cycles", "megabytes") and now > was
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.cycles", description=__doc__)
    parser.add_argument("--cycles", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    print("".join(f"{name:>14}" for name in Held._fields))
    looks = []
    for held in run(asked.cycles, asked.seed):
        looks.append(held)
        print("".join(f"{value:>14}" for value in held), flush=True)
    wrong = grown(looks[0], looks[-1])
    print("\n".join(wrong) or "Nothing has grown.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
