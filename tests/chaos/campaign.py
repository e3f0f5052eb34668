"""Plays rows on several lanes at once, one seed after another, and says what came of each."""

import random
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple

from tests.chaos import (
    failover_rows,
    link_rows,
    redis_rows,
    viewer_rows,
    web_rows,
    worker_rows,
)
from tests.chaos.lane import Lane, Stopped, Stuck
from tests.chaos.mixed_row import mixed
from tests.chaos.play import Play, Size
from tests.chaos.row import Row
from tests.processes import RedisServer

_SINGLE: tuple[Row, ...] = (
    *link_rows.ROWS,
    *redis_rows.ROWS,
    *failover_rows.ROWS,
    *web_rows.ROWS,
    *viewer_rows.ROWS,
    *worker_rows.ROWS,
)
ROWS = (*_SINGLE, mixed(_SINGLE))

SMALL = Size(viewers=8, rate=40.0, strikes=2, seconds=3.0, hang=3.0)
LARGE = Size(viewers=40, rate=25.0, strikes=6, seconds=6.0, hang=30.0)
SHOWN = 3  # violations of each play
SHOWN_FAULTS = 20

Turn = tuple[Row, str]  # what is played, and its seed


class Result(NamedTuple):
    """What came of one row, played once."""

    row: str
    seed: str
    faults: list[str]
    deliveries: int
    connections: int
    forgotten: int  # events that Redis had acknowledged, and lost
    gaps: int  # that were announced
    recoveries: list[float]  # seconds
    violations: list[str]  # their kinds
    notes: list[str]
    seconds: float
    wrong: list[str]  # what a person needs to find out why; empty when every promise was kept


def play_row(row: Row, lane: Lane, seed: str, size: Size, node: str | None) -> Result:
    """Play it to its end, whatever happens on the way. Raises Stopped."""
    begun = time.monotonic()
    wrong: list[str] = []
    with (
        row.site(lane) as site,
        Play(site, f"{row.name} {seed}", size, redis_options=row.redis, node=node) as play,
    ):
        for act in (partial(_begin, row), row.act, _end, partial(Play.judge, gaps=row.gaps)):
            try:
                act(play)
            except Stopped:
                raise
            except (Stuck, AssertionError) as error:
                wrong.append(str(error))
            except Exception:
                wrong.append(traceback.format_exc())
        checker = play.log.checker
        for violation in checker.violations[:SHOWN]:
            wrong += [str(violation), *play.log.shown(violation)]
        wrong += play.troubles
        if wrong:
            wrong += play.faults[-SHOWN_FAULTS:]
            wrong += [f"{viewer} was {why}" for viewer, why in play.log.refused.items()]
        return Result(
            row.name,
            seed,
            play.faults,
            checker.deliveries,
            checker.connections,
            play.forgotten,
            checker.gaps,
            play.recoveries,
            [violation.kind for violation in checker.violations],
            play.notes,
            time.monotonic() - begun,
            wrong,
        )


def once(rows: Sequence[Row], seed: str) -> Iterator[Turn]:
    for row in rows:
        yield row, seed


def until(seconds: float, rows: Sequence[Row], seed: str) -> Iterator[Turn]:
    """Every row, in an order that the seed decides, and anew until the time is up."""
    deadline = time.monotonic() + seconds
    for lap in range(1_000_000):
        order = list(rows)
        random.Random(f"{seed}-{lap}").shuffle(order)
        for row in order:
            if time.monotonic() > deadline:
                return
            yield row, f"{seed}-{lap}"


def campaign(
    turns: Iterator[Turn], size: Size, *, lane_count: int, node: str | None
) -> Generator[Result, None, None]:
    """The result of each turn as it ends. Closing it ends everything, with all its processes, within seconds."""
    stopping, lock = threading.Event(), threading.Lock()
    played: SimpleQueue[Result | BaseException | None] = SimpleQueue()

    def next_turn() -> Turn | None:
        with lock:
            return None if stopping.is_set() else next(turns, None)

    def work(lane: Lane) -> None:
        try:
            while turn := next_turn():
                row, seed = turn
                played.put(play_row(row, lane, seed, size, node))
        except Stopped:
            pass
        except BaseException as error:  # to be raised in the thread that listens
            played.put(error)
        finally:
            played.put(None)

    with _lanes(lane_count, stopping) as lanes:
        threads = [threading.Thread(target=work, args=[lane], name=lane.name) for lane in lanes]
        for thread in threads:
            thread.start()
        try:
            for _ in threads:
                yield from _until_none(played.get)
        finally:
            stopping.set()
            for thread in threads:
                thread.join()


@contextmanager
def _lanes(count: int, stopping: threading.Event) -> Iterator[list[Lane]]:
    """Started side by side."""
    with RedisServer() as broker, ThreadPoolExecutor(count) as executor:
        lanes = [Lane(f"lane-{i}", broker, stopping) for i in range(count)]
        entering = [executor.submit(lane.__enter__) for lane in lanes]
        try:
            for each in entering:
                each.result()
            yield lanes
        finally:
            stopping.set()
            for lane, entered in zip(lanes, entering, strict=True):
                if entered.exception() is None:
                    lane.__exit__()


def _until_none(take: Callable[[], Result | BaseException | None]) -> Iterator[Result]:
    while (item := take()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item


def _begin(row: Row, play: Play) -> None:
    play.begin(row.tasks, row.job)
    play.watch()


def _end(play: Play) -> None:
    play.mend()
    if not play.ended:
        play.end()
