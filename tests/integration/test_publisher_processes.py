"""What the publisher does when its process is forked, and when it ends."""

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

from headway import publisher
from headway.events import Emitted, Subject
from headway.journal import Journal
from tests.processes import ROOT, RedisServer
from tests.producers import TASK, log, state, told

OwnRedis = Callable[..., RedisServer]

PRELUDE = """
import os, sys, time
from headway.lifecycle import Lifecycle
from headway.events import Emitted, Execution, Finished, Started
from headway.journal import Journal
from headway.publisher import Publisher

def report(task, *texts, end=False):
    one = Execution(task=task, nonce=task + str(os.getpid()), retries=0, boot="b", began=time.monotonic())
    publisher(source=one, event=Started(task=task, at=1))
    for text in texts:
        publisher(source=one, event=Emitted(task=task, at=2, name="said", data=text))
    if end:
        publisher(source=one, event=Finished(task=task, at=3, status="succeeded"))
    return one

publisher = Publisher(Journal(sys.argv[1]))
"""


def texts(journal: Journal, subject: Subject = TASK) -> list[str]:
    return [event.data for event in told(journal, subject) if isinstance(event, Emitted)]


def run(program: str, url: str) -> float:
    """Run it in a process of its own; the seconds it took from its last line to its end."""
    code = PRELUDE + textwrap.dedent(program) + "\nprint(time.time(), flush=True)"
    done = subprocess.run(
        [sys.executable, "-c", code, url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    ended = time.time()
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return ended - float(done.stdout.split()[-1])


def test_an_orderly_exit_sends_what_is_left(redis_url: str, journal: Journal) -> None:
    run('report("t", *map(str, range(300)), end=True)', redis_url)
    assert texts(journal) == [str(i) for i in range(300)]
    assert state(journal).status == "succeeded"


def test_an_exit_does_not_wait_long_for_a_redis_that_hangs(own_redis: OwnRedis) -> None:
    server = own_redis()
    server.pause()
    try:
        assert run('report("t", "a", end=True)', server.url) < publisher.EXIT_SECONDS + 1
    finally:
        server.resume()


def test_a_forked_child_sends_its_own_and_nothing_of_its_parents(
    own_redis: OwnRedis,
) -> None:
    server = own_redis()
    journal = Journal(server.url, timeout=5)
    resumed = threading.Timer(1.0, server.resume)
    server.pause()
    resumed.start()
    try:
        program = """
            report("parent", "a", end=True)  # Redis hangs: the child is forked with all of this unsent
            child = os.fork()
            report("child" if child == 0 else "after", "b", end=True)
            assert publisher.flush(10)
            if child:
                assert os.waitpid(child, 0)[1] == 0
            """
        run(program, server.url)
    finally:
        resumed.join()
    for task, text in (("parent", "a"), ("child", "b"), ("after", "b")):
        subject = Subject("task", task)
        assert texts(journal, subject) == [text]
        assert state(journal, subject).status == "succeeded"
        assert len(log(journal, subject)) == 3
