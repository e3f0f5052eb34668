"""The worker fails, or two of them do the same task."""

import os
import signal

from tests.chaos.play import Play
from tests.chaos.row import Row
from tests.proc import children


def child_killed(play: Play) -> None:
    """kill -9 of the children that run the tasks: they have failed"""
    play.fault("kill -9 of the worker's children")
    for child in children(play.worker.pid):
        os.kill(child, signal.SIGKILL)
    play.ends_as("failed")


def killed_and_lost(play: Play) -> None:
    """kill -9 of the whole worker, tasks acknowledged early: they are lost"""
    play.fault("kill -9 of the worker")
    play.worker.kill()
    play.wait(lambda: play.statuses() == {"lost"}, "the tasks to be lost")
    play.recovers()
    play.lane.replace_worker()
    play.ended = True


def killed_and_redelivered(play: Play) -> None:
    """kill -9 of the whole worker, tasks acknowledged late: they are delivered again"""
    play.fault("kill -9 of the worker")
    play.worker.kill()
    play.until_stalled(True)
    play.lane.replace_worker()
    again(play)
    play.until_stalled(False)


def again(play: Play) -> None:
    play.wait(lambda: _least_attempt(play) > 1, "the second attempts")
    play.over()


def _least_attempt(play: Play) -> int:
    states = [play.state(task) for task in play.tasks]
    return min(state.attempt if state else 0 for state in states)


def stopped(play: Play) -> None:
    """SIGSTOP to the worker and its children until they are stalled, and SIGCONT"""
    play.fault("SIGSTOP to the worker")
    play.worker.pause()
    play.until_stalled(True)
    play.pause(play.rng.uniform(0, play.size.seconds))
    play.worker.resume()
    play.over()
    play.until_stalled(False)


def warm_shutdown(play: Play) -> None:
    """SIGTERM while tasks run, which end soon after"""
    play.fault("SIGTERM to the worker")
    play.worker.signal(signal.SIGTERM)
    play.pause(play.rng.uniform(0.1, 1))
    play.order("end")
    play.ends_as("succeeded")
    play.worker.wait(30)
    play.lane.replace_worker()


def cold_shutdown(play: Play) -> None:
    """SIGQUIT while tasks run: they have failed"""
    play.fault("SIGQUIT to the worker")
    play.worker.signal(signal.SIGQUIT)
    play.ends_as("failed")
    play.worker.wait(30)
    play.lane.replace_worker()


def twins(play: Play) -> None:
    """each task is delivered again while it runs: two executions at once, one of which counts"""
    play.fault("the same tasks are sent again")
    for task in play.tasks:
        play.send(task, "write")
    again(play)


def redelivered_while_it_runs(play: Play) -> None:
    """the broker believes a task dead that runs on (visibility timeout)"""
    play.fault("the visibility timeout is shorter than the task")
    again(play)


ROWS = (
    Row("worker-child-killed", child_killed),
    Row("worker-killed-lost", killed_and_lost),
    Row("worker-killed-redelivered", killed_and_redelivered, job="write_late"),
    Row("worker-stopped", stopped),
    Row("worker-warm-shutdown", warm_shutdown),
    Row("worker-cold-shutdown", cold_shutdown),
    Row("twins", twins),
    Row("visibility-timeout", redelivered_while_it_runs, job="write_late"),
)
