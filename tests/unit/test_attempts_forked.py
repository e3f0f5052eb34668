"""A process that forks while a task runs: in the child the task is over, in the parent nothing has happened."""

import os
import select
import signal
import threading
from collections.abc import Callable

import pytest

from headway import attempts, current, emit, report, reported, stage, track
from headway.events import MessageReported
from headway.testing import Recorder, run
from tests.reported import stage_in

# Python 3.12 warns of forking with threads; that is what is tried here.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def in_child(work: Callable[[], object], seconds: float = 10.0) -> str:
    """What the work gives when a forked child does it, as text; fails when the child takes too long."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = str(work())
        except BaseException as error:
            said = repr(error)
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    try:
        if not select.select([read], [], [], seconds)[0]:
            os.kill(child, signal.SIGKILL)
            pytest.fail("The child hangs.")
        return os.read(read, 10_000).decode()
    finally:
        os.close(read)
        os.waitpid(child, 0)


def use_every_verb(heard: Recorder) -> int:
    """How many events come of it."""
    before = len(heard.events)
    handle = current()
    with stage("child") as child:
        child.report("x", current=1, total=2)
        child.advance()
        report("y")
    list(track([1], "loop"))
    stage("skipped").skip()
    handle.plan("planned")
    handle.run(emit, "token", 1)
    attempt, _ = attempts.here.get()
    assert attempt is not None
    attempt.sample()
    return len(heard.events) - before


def test_in_a_forked_child_the_handle_is_inert_and_the_parents_goes_on() -> None:
    with run() as heard, stage("read") as read:
        assert in_child(lambda: use_every_verb(heard)) == "0"
        read.report(current=7)
        heard.wait_for(lambda heard: stage_in(heard, "read").current == 7)
        assert use_every_verb(heard) > 0


def test_a_forked_child_can_run_a_task_of_its_own_and_has_its_own_sampler() -> None:
    def work() -> object:
        with run(task="child's") as heard, stage("read") as read:
            read.report(current=7)
            heard.wait_for(lambda heard: stage_in(heard, "read").current == 7)
        return heard.state().status

    with run():
        assert in_child(work) == "succeeded"


def test_a_child_forked_while_another_thread_reports_does_not_hang() -> None:
    sending, go_on = threading.Event(), threading.Event()

    def slow_receiver(*, event: object, **_: object) -> None:
        if isinstance(event, MessageReported):
            sending.set()
            go_on.wait(10)

    with run() as heard:
        reported.connect(slow_receiver, weak=False)
        try:
            report("sampled")
            assert sending.wait(5)
            assert in_child(lambda: use_every_verb(heard), seconds=2.0) == "0"
        finally:
            go_on.set()
            reported.disconnect(slow_receiver)
