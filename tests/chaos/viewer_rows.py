"""Viewers fail: they vanish, hang, read nothing, and what they are sent is torn anywhere."""

import itertools
import socket
import time
from functools import partial

from headway.journal import Journal
from tests.chaos.play import Play
from tests.chaos.proxy import Line
from tests.chaos.records import Closed, Opened, got
from tests.chaos.row import TRIMMED, Row
from tests.chaos.shapes import Shape, byte_by_byte, one_a_second, only, whole
from tests.eventstream import Parser
from tests.proc import children, sockets
from tests.processes import HOST
from tests.producers import Producer, execution, finished, said, started

NEVER_READING = 20


def reset(play: Play) -> None:
    """RST in the middle of streams"""
    play.fault("RST between viewers and the web server")
    play.door.cut(reset=True)


def finished_off(play: Play) -> None:
    """FIN in the middle of streams"""
    play.fault("FIN between viewers and the web server")
    play.door.cut()


def half_open(play: Play) -> None:
    """connections go silent, and nothing says so: their viewers miss the heartbeats"""
    play.fault("the viewers' connections are frozen")
    play.door.freeze()
    play.recovers()
    play.door.cut()
    play.over()


def byte_packets(play: Play) -> None:
    """every byte comes alone"""
    play.fault("every byte is a packet")
    play.door.shaping = lambda _: byte_by_byte(10_000)
    play.door.cut()
    play.recovers()
    play.pause(1)
    play.door.shaping = lambda _: whole
    play.door.cut()
    play.over()


def never_reading(play: Play) -> None:
    """viewers who read nothing, or a byte a second: they are dropped, and no other one notices"""
    play.fault(f"{NEVER_READING} viewers do not read")
    slow_door = play.another_door(buffer=4096)
    slow_door.shaping = lambda _: one_a_second
    streams = _streams(play)
    for i in range(NEVER_READING):
        _deaf(play, play.web.port if i % 2 else slow_door.port)
    play.wait(lambda: _streams(play) >= streams + NEVER_READING, "their streams")
    for i in range(10):
        play.order(f"burst 8 60000 {i}")
        play.pause(0.2)
    play.over()
    play.recovers()
    play.wait(lambda: _streams(play) <= streams, "the web server to drop who does not read")
    play.over()


def _streams(play: Play) -> int:
    """How many connections the web server holds, a few of its own included."""
    return sum(len(sockets(server)) for server in children(play.web.pid))


def _deaf(play: Play, port: int) -> None:
    connection = play.enter(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((HOST, port))
    task = play.rng.choice(play.tasks)
    connection.sendall(f"GET /headway/tasks/{task}/events HTTP/1.0\r\n\r\n".encode())


def torn(play: Play) -> None:
    """a stream of three events ends after each of its bytes in turn; its viewer comes back with what it has"""
    task = f"torn-{play.rng.getrandbits(64):x}"
    journal = Journal(play.redis.url, timeout=5)
    story = (started(task=task), said("between", task=task), finished(task=task))
    Producer(journal, execution("torn", task=task)).say(*story)
    journal.close()
    play.order("quiet")
    play.tasks.append(task)
    door = play.another_door()
    head = Torn("torn-whole", play, task)
    head.watch(door.port)
    head.settle()
    for offset in itertools.count(head.head_bytes):
        door.shaping = partial(_torn_at, offset)
        viewer = Torn(f"torn-{offset}", play, task)
        if viewer.watch(door.port):
            break
        play.fault(f"torn after {offset} bytes")
        door.shaping = lambda _: whole
        viewer.watch(door.port)
        viewer.settle()
    viewer.settle()
    play.over()
    play.order("write")


def _torn_at(offset: int, _: Line) -> Shape:
    return only(offset)


class Torn:
    """A viewer with one thing on its mind."""

    def __init__(self, name: str, play: Play, task: str) -> None:
        self.name, self.task, self.log = name, task, play.log
        self.cursor = "0"
        self.connection = 0
        self.head_bytes = 0
        play.log.expect(name, [task])

    def watch(self, port: int) -> bool:
        """Read one answer to its end; says whether it was whole."""
        self.connection += 1
        self.log.see(Opened(self.name, self.connection, time.time(), {self.task: self.cursor}))
        asked = f"GET /headway/tasks/{self.task}/events HTTP/1.0\r\nLast-Event-ID: {self.cursor}\r\n\r\n"
        with socket.create_connection((HOST, port), timeout=10) as connection:
            connection.sendall(asked.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, found, body = answer.partition(b"\r\n\r\n")
        self.head_bytes = len(head + found)
        whole = False
        for event in Parser().feed(body) if found else ():
            record = got(self.name, self.connection, time.time(), event.id, event.data)
            self.cursor = record.cursor or self.cursor
            self.log.see(record)
            whole = record.type == "finished"
        self.log.see(Closed(self.name, self.connection, time.time(), "ended" if whole else "cut"))
        return whole or head.startswith(b"HTTP/1.1 204")

    def settle(self) -> None:
        self.log.over.add(self.name)


ROWS = (
    Row("viewer-reset", reset, quick=True, mixes=True),
    Row("viewer-fin", finished_off, quick=True, mixes=True),
    Row("viewer-half-open", half_open, mixes=True),
    Row("byte-packets", byte_packets, mixes=True),
    Row("never-reading", never_reading, gaps=TRIMMED),
    Row("torn", torn),
)
