"""Redis fails, or is made to fail: hung, killed, emptied, full, somebody else's replica."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from headway.events import Subject
from headway.keys import key, seq_of
from tests.chaos.play import Play
from tests.chaos.row import FORK, KEEPS_ALL, TRIMMED, Row


def state_and_log(task: str) -> tuple[str, str]:
    base = key(Subject("task", task))
    return f"{base}:state", f"{base}:log"


def paused(play: Play) -> None:
    """SIGSTOP, and SIGCONT after a while"""
    ended = play.crowd.counts["ended"]
    play.fault("SIGSTOP to Redis")
    play.redis.pause()
    play.pause(play.size.hang)
    play.redis.resume()
    play.over()
    closed = play.crowd.counts["ended"] - ended
    if closed:
        play.troubles.append(f"{closed} streams were closed because Redis was paused")


def client_pause(play: Play) -> None:
    """CLIENT PAUSE"""
    milliseconds = play.rng.randint(200, 1500)
    play.fault(f"CLIENT PAUSE {milliseconds}")
    play.redis.cli("CLIENT", "PAUSE", milliseconds, "ALL")
    play.pause(milliseconds / 1000)
    play.over()


def debug_sleep(play: Play) -> None:
    """DEBUG SLEEP: Redis does nothing at all"""
    play.fault("DEBUG SLEEP")
    play.redis.cli("DEBUG", "SLEEP", f"{play.rng.uniform(0.3, 2):.2f}")
    play.over()


def restarted(play: Play, *, without: int = 0) -> None:
    play.fault("kill -9 of Redis")
    play.worker_link.refusing = True  # nothing shall be mended before it is counted
    play.worker_link.cut()
    had = play.held(play.redis)
    play.redis.kill()
    if without:
        (log,) = sorted(play.redis.folder.glob("appendonlydir/*.incr.aof"))[-1:]
        with log.open("r+b") as file:
            file.truncate(max(0, log.stat().st_size - without))
    play.pause(play.rng.uniform(0.0, 0.5))
    play.redis.start()
    play.forgotten += max(0, had - play.held(play.redis))
    play.worker_link.refusing = False
    play.over()


def killed_aof_always(play: Play) -> None:
    """kill -9 and restart with all it had (appendfsync always)"""
    restarted(play)


def killed_aof_everysec(play: Play) -> None:
    """kill -9 and restart without the end of its log, as the machine's own death leaves it (appendfsync everysec)"""
    restarted(play, without=play.rng.randint(4_000, 30_000))


def killed_rdb(play: Play) -> None:
    """kill -9 and restart with what it had at its last SAVE"""
    play.redis.cli("SAVE")
    play.pause(play.rng.uniform(0.3, 1))
    restarted(play)


def killed_empty(play: Play) -> None:
    """kill -9 and restart with nothing"""
    restarted(play)


def killed_empty_after_much(play: Play) -> None:
    """kill -9 and restart with nothing, when no producer remembers how it began"""
    _burst(play)
    restarted(play)


def flushed(play: Play) -> None:
    """FLUSHALL"""
    play.fault("FLUSHALL")
    play.forgotten += play.held(play.redis)
    play.redis.cli("FLUSHALL")


def state_evicted(play: Play) -> None:
    """one key is evicted: a task's state"""
    state, _ = state_and_log(play.rng.choice(play.tasks))
    play.fault(f"DEL {state}")
    play.redis.cli("DEL", state)


def log_evicted(play: Play) -> None:
    """one key is evicted: a task's log"""
    _, log = state_and_log(play.rng.choice(play.tasks))
    play.fault(f"DEL {log}")
    play.redis.cli("DEL", log)


def wrong_type(play: Play) -> None:
    """somebody writes a string under one task's key: that task is given up, no other one notices"""
    victim = play.tasks[0]
    play.fault("SET over a state")
    play.unjudged.add(victim)
    play.redis.cli("SET", state_and_log(victim)[0], "a string")
    play.recovers()
    play.end_all_but(victim)


def output_buffer(play: Play) -> None:
    """the hub does not read, a burst comes, and Redis ends the connection (client-output-buffer-limit)"""
    play.fault("the hub's subscribed connection is not read")
    play.hub_link.freeze(lambda line: line.subscribed)
    for i in range(20):
        play.order(f"burst 8 60000 {i}")
        play.pause(0.3)
        if not play.redis.cli("CLIENT", "LIST", "TYPE", "pubsub").strip():
            break
    else:
        play.troubles.append("Redis has not ended the connection: the burst was too small")
    play.hub_link.thaw()
    play.over()


@contextmanager
def refusing(play: Play, error: str) -> Iterator[None]:
    """What is done in here makes Redis answer with that error: wait until somebody has had it, and a bit longer."""

    def count() -> int:
        return int(
            play.redis.cli("INFO", "errorstats").get(f"errorstat_{error}", {}).get("count", 0)
        )

    before = count()
    yield
    play.wait(lambda: count() != before, f"an answer {error}")
    play.pause(play.rng.uniform(0.0, 1.0))


def out_of_memory(play: Play) -> None:
    """maxmemory reached, noeviction: Redis takes no events"""
    play.fault("CONFIG SET maxmemory 1")
    with refusing(play, "OOM"):
        play.redis.cli("CONFIG", "SET", "maxmemory", 1)
    play.redis.cli("CONFIG", "SET", "maxmemory", 0)
    play.over()


def read_only(play: Play) -> None:
    """it becomes a replica of nobody: READONLY"""
    play.fault("REPLICAOF nobody")
    with refusing(play, "READONLY"):
        play.redis.cli("REPLICAOF", "127.0.0.1", 1)
    play.redis.cli("REPLICAOF", "NO", "ONE")
    play.over()


def loading(play: Play) -> None:
    """restarted, it takes a while to load, and says LOADING to all"""
    for i in range(300):
        play.redis.cli("SET", f"filler-{i}", i)
    play.redis.cli("SAVE")
    with refusing(play, "LOADING"):
        restarted(play)


def scripts_flushed(play: Play) -> None:
    """SCRIPT FLUSH: NOSCRIPT"""
    play.fault("SCRIPT FLUSH")
    with refusing(play, "NOSCRIPT"):
        play.redis.cli("SCRIPT", "FLUSH")


def trimmed(play: Play) -> None:
    """viewers are away while more happens than the log keeps"""
    away = play.rng.sample(play.crowd.viewers, max(1, len(play.crowd.viewers) // 2))
    play.fault(f"{len(away)} viewers leave, and 1,500 events come")
    play.crowd.send_away(away)
    _burst(play)
    play.over()
    play.crowd.call_back(away)


def _burst(play: Play) -> None:
    """More than a log or a ring keeps, part by part: an order that is not read yet would be replaced."""
    for i in range(5):
        wanted = {task: seq_of(last or "") + 300 for task, last in play.lasts().items()}
        play.order(f"burst 300 0 {i}")
        play.wait(partial(_reached, play, wanted), "the burst in the journals")


def _reached(play: Play, wanted: dict[str, int]) -> bool:
    return all(seq_of(last or "") >= wanted[task] for task, last in play.lasts().items())


ROWS = (
    Row("redis-paused", paused),
    Row("client-pause", client_pause, quick=True, mixes=True),
    Row("debug-sleep", debug_sleep, quick=True, redis={"enable_debug_command": "yes"}),
    Row("killed-aof-always", killed_aof_always, quick=True, mixes=True, redis=KEEPS_ALL),
    Row("killed-aof-everysec", killed_aof_everysec, redis={"appendonly": "yes"}),
    Row("killed-rdb", killed_rdb),
    Row("killed-empty", killed_empty, gaps=FORK),
    Row("killed-empty-after-much", killed_empty_after_much, gaps=FORK | TRIMMED),
    Row("flushall", flushed, gaps=FORK),
    Row("state-evicted", state_evicted, gaps=FORK),
    Row("log-evicted", log_evicted, gaps=TRIMMED),
    Row("wrong-type", wrong_type, gaps=FORK),
    Row(
        "output-buffer",
        output_buffer,
        gaps=TRIMMED,
        redis={"client_output_buffer_limit": "pubsub 64kb 32kb 1"},
    ),
    Row("out-of-memory", out_of_memory, quick=True, mixes=True),
    Row("read-only", read_only, quick=True, mixes=True),
    Row(
        "loading",
        loading,
        redis={"key_load_delay": 5000, "loading_process_events_interval_bytes": 1024},
    ),
    Row("scripts-flushed", scripts_flushed, quick=True, mixes=True),
    Row("trimmed", trimmed, gaps=TRIMMED),
)
