"""Several web processes, of one gunicorn and of two, on one Redis: what a viewer more costs it, and a process more."""

import http.client
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

import pytest

from headway.attempts import Attempt
from headway.events import Subject
from headway.keys import key
from headway.publisher import Publisher
from tests import proc
from tests.processes import RedisServer, Web, wait_until
from tests.reporting import Reporter, tasks_of
from tests.watching import Told, Watch, assert_unbroken, identified

APP = "tests.acceptance.spread:app"
EVENTS = 50
BYTES = 500  # of what each says: little enough for what viewers are sent to fit into their sockets
MANY = 50  # viewers per process


class Process(NamedTuple):
    """One of a site's web processes."""

    site: Web
    pid: int


@pytest.fixture(scope="module")
def sites(server: RedisServer) -> Iterator[list[Web]]:
    """Two, as if on two hosts: one of three processes, and one of one."""
    with Web(server.url, app=APP, args=["-w", "3"]) as three, Web(server.url, app=APP) as one:
        wait_until(lambda: len(processes_of(three)) == 3, what="three processes")
        yield [three, one]


def processes_of(site: Web) -> list[Process]:
    return [Process(site, pid) for pid in proc.children(site.pid)]


@pytest.fixture
def processes(sites: list[Web]) -> list[Process]:
    return [process for site in sites for process in processes_of(site)]


Tasks = Callable[[], Attempt]


@pytest.fixture
def tasks(publisher: Publisher) -> Iterator[Tasks]:
    with tasks_of(publisher) as begin:
        yield begin


Seat = Callable[..., list[Watch]]


@pytest.fixture
def seat() -> Iterator[Seat]:
    """Viewers of a task at one process who have had its snapshot: `seat(process, task, 50)`."""
    with ExitStack() as stack:

        def seat(process: Process, attempt: Attempt, count: int = 1) -> list[Watch]:
            with alone(process):
                watches = [
                    stack.enter_context(Watch(address(process.site, attempt))) for _ in range(count)
                ]
            assert {watch.headers["X-Process"] for watch in watches} == {str(process.pid)}
            for watch in watches:
                watch.until_type("snapshot")
            return watches

        yield seat


def address(site: Web, attempt: Attempt) -> str:
    return f"{site.url}/headway/tasks/{attempt.execution.task}/events"


@contextmanager
def alone(process: Process) -> Iterator[None]:
    """The others of its site accept nobody meanwhile."""
    others = [each for each in proc.children(process.site.pid) if each != process.pid]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


# -- what Redis does -------------------------------------------------------------------------------


class Work(NamedTuple):
    """What Redis had to do."""

    commands: int
    bytes_sent: int


def work_so_far(server: RedisServer) -> Work:
    asked = ("cmdstat_info", "cmdstat_client", "cmdstat_pubsub")  # by this test
    stats = server.cli("INFO", "commandstats")
    commands = sum(stat["calls"] for name, stat in stats.items() if not name.startswith(asked))
    return Work(commands, server.cli("INFO", "stats")["total_net_output_bytes"])


def work_of_events(
    server: RedisServer, publisher: Publisher, attempt: Attempt, watches: Sequence[Watch] = ()
) -> Work:
    """For the same number of events of the same size, one by one, until all viewers have had them."""
    before = work_so_far(server)
    for _ in range(EVENTS):
        attempt.emit("page", "x" * BYTES)
        assert publisher.flush(10)
    for watch in watches:
        read_events(watch, EVENTS)
    after = work_so_far(server)
    return Work(after.commands - before.commands, after.bytes_sent - before.bytes_sent)


def subscribers(server: RedisServer, attempt: Attempt) -> int:
    return int(server.cli("PUBSUB", "NUMSUB", key(subject(attempt)))[1])


def subject(attempt: Attempt) -> Subject:
    return Subject("task", attempt.execution.task)


def read_events(watch: Watch, count: int) -> None:
    """So many more, each once and in order."""
    last = identified(watch.seen)[-1].seq
    watch.until(lambda told: told.id and told.seq == last + count)
    assert_unbroken(identified(watch.seen)[-count:], after=last)


def test_redis_does_no_more_for_fifty_viewers_per_process_than_for_one(
    server: RedisServer, publisher: Publisher, processes: list[Process], tasks: Tasks, seat: Seat
) -> None:
    shared, own = tasks(), [tasks() for _ in processes]
    watches = [watch for process in processes for watch in seat(process, shared)]
    for process, each in zip(processes, own, strict=True):
        seat(process, each)
    few = work_of_events(server, publisher, shared, watches)
    watches += [watch for process in processes for watch in seat(process, shared, MANY - 1)]
    for process, each in zip(processes, own, strict=True):
        seat(process, each, MANY - 1)
    many = work_of_events(server, publisher, shared, watches)
    assert subscribers(server, shared) == len(processes)
    # A command per event and process would be as many again; what is looked at by the clock is far less.
    assert many.commands < few.commands + EVENTS * len(processes)
    assert many.bytes_sent < few.bytes_sent + EVENTS * BYTES


def test_redis_sends_an_event_to_the_processes_where_it_is_watched_and_to_no_other(
    server: RedisServer, publisher: Publisher, processes: list[Process], tasks: Tasks, seat: Seat
) -> None:
    shared = tasks()
    for process in processes:  # each has a subscription in any case
        seat(process, tasks())
    watches: list[Watch] = []
    before = work_of_events(server, publisher, shared)
    assert before.bytes_sent < EVENTS * BYTES / 2
    for count, process in enumerate(processes, 1):
        watches += seat(process, shared, 2)
        assert subscribers(server, shared) == count
        work = work_of_events(server, publisher, shared, watches)
        # Each event once more, in its wrapping.
        assert EVENTS * BYTES < work.bytes_sent - before.bytes_sent < 2 * EVENTS * BYTES
        before = work


def test_a_process_holds_three_connections_to_redis_at_most(
    server: RedisServer, processes: list[Process], tasks: Tasks, seat: Seat
) -> None:
    attempts = [tasks() for _ in range(5)]
    for process in processes:
        for attempt in attempts:
            seat(process, attempt, 4)
    for process in processes:
        assert len(proc.sockets(process.pid) & proc.tcp_connections(server.port)) <= 3


def test_what_nobody_watches_any_more_is_not_subscribed_to(
    server: RedisServer, processes: list[Process], tasks: Tasks, seat: Seat
) -> None:
    shared, kept = tasks(), tasks()
    for process in processes:
        seat(process, kept)
    staying, *leaving = [seat(process, shared, 3) for process in processes]
    for watch in (each for watches in leaving for each in watches):
        watch.close()
    wait_until(lambda: subscribers(server, shared) == 1, what="all but one to forget it")
    for watch in staying:
        watch.close()
    wait_until(lambda: subscribers(server, shared) == 0, what="the last to forget it")
    assert subscribers(server, kept) == len(processes)


# -- when one of them ends -------------------------------------------------------------------------


def test_a_process_that_is_killed_takes_no_event_with_it_and_nobody_elses_viewers(
    sites: list[Web], processes: list[Process], tasks: Tasks, seat: Seat
) -> None:
    killed, *others = processes
    attempts = [tasks(), tasks()]
    orphans = [watch for attempt in attempts for watch in seat(killed, attempt, 5)]
    undisturbed = [
        watch for process in others for attempt in attempts for watch in seat(process, attempt, 3)
    ]
    with reporting(attempts) as reporter:
        for watch in orphans:
            watch.until(says_round(5))
        os.kill(killed.pid, signal.SIGKILL)
        told = [cut_off(watch) for watch in orphans]
        back = [
            Watch(address(site, attempts[n // 5]), identified(told[n])[-1].id)
            for n, site in enumerate(sites * 5)
        ]
        reached = reporter.rounds + 5
        for watch in back:
            watch.until(says_round(reached))
    for before, watch in zip(told, back, strict=True):
        with watch:
            assert watch.headers["X-Process"] != str(killed.pid)
            assert_course(identified(before) + identified(watch.rest()), reporter.rounds)
    for watch in undisturbed:
        assert_course(identified(watch.rest()), reporter.rounds)
    wait_until(lambda: len(processes_of(sites[0])) == 3, what="another in its place")


@contextmanager
def reporting(attempts: list[Attempt]) -> Iterator[Reporter]:
    reporter = Reporter(attempts, pause=0.02)
    reporter.start()
    try:
        yield reporter
    finally:
        reporter.stop()


def says_round(number: int) -> Callable[[Told], object]:
    return lambda told: told.type == "emitted" and told.data["data"] >= number


def cut_off(watch: Watch) -> list[Told]:
    """What it was told by a process that ended in the middle of something."""
    with suppress(http.client.IncompleteRead, ConnectionResetError):
        return watch.rest()
    return watch.seen


def assert_course(told: list[Told], rounds: int) -> None:
    """One snapshot, every event once, and the end."""
    assert_unbroken(told[1:], after=told[0].seq)
    assert [each.type for each in told] == ["snapshot", *["emitted"] * rounds, "finished"]
