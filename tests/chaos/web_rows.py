"""The web server fails, or a thousand viewers come back at once."""

import signal
import time

from tests.chaos.play import Play
from tests.chaos.row import Row
from tests.chaos.viewers import Viewer
from tests.proc import children

HERD = 1000
READS_PER_RETURN = 0.1


def killed(play: Play) -> None:
    """kill -9, and another one a moment later"""
    play.fault("kill -9 of the web server")
    play.web.kill()
    play.web.start()
    play.over()


def restarted(play: Play) -> None:
    """SIGTERM, and another one when it has ended"""
    play.fault("SIGTERM to the web server")
    play.web.restart()
    play.over()


def reloaded(play: Play) -> None:
    """SIGHUP: gunicorn replaces its workers"""
    play.fault("SIGHUP to the web server")
    old, since = set(children(play.web.pid)), time.time()
    play.web.signal(signal.SIGHUP)
    play.wait(lambda: not old & set(children(play.web.pid)), "the end of the old workers")
    play.notes.append(f"the old workers ended after {time.time() - since:.1f} s")
    play.over()


def stopped(play: Play) -> None:
    """SIGSTOP, and SIGCONT after a while"""
    play.fault("SIGSTOP to the web server")
    play.web.pause()
    play.pause(play.rng.uniform(0.5, play.size.seconds))
    play.web.resume()
    play.over()


def herd(play: Play) -> None:
    """a thousand viewers come back at once, to a web server that has just started"""
    play.order("quiet")
    task = play.tasks[0]
    viewers = [play.crowd.add(Viewer(f"herd-{i}", play.web.url, [task])) for i in range(HERD)]
    play.until_shown()
    play.fault("all leave; events come; kill -9 of the web server; all are back at once")
    play.crowd.send_away(viewers)
    play.web.kill()
    play.order("burst 20 0 1")
    play.web.start()
    before = reads(play)
    play.over()
    play.crowd.call_back(viewers)
    play.recovers()
    per_return = (reads(play) - before) / HERD
    said = f"{per_return:.3f} reads of Redis for each that came back"
    (play.troubles if per_return > READS_PER_RETURN else play.notes).append(said)
    play.over()


def reads(play: Play) -> int:
    """How often Redis was asked for a task's state or log."""
    stats = play.redis.cli("INFO", "commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("xrange", "hgetall"))


ROWS = (
    Row("web-killed", killed),
    Row("web-restarted", restarted),
    Row("web-reloaded", reloaded),
    Row("web-stopped", stopped, mixes=True),
    Row("herd", herd),
)
