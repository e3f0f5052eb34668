"""A replica takes over, and it has not heard everything."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import RedisError

from headway.keys import seq_of
from tests.chaos.lane import Guarded, Lane
from tests.chaos.play import Play
from tests.chaos.proxy import Proxy
from tests.chaos.row import FORK, Row
from tests.processes import HOST, RedisSentinel, RedisServer, wait_until

MASTER = {"repl_diskless_sync_delay": 0}


@contextmanager
def replica_that_lags(play: Play) -> Iterator[RedisServer]:
    """It heard all until a moment ago. Nothing says that its link is cut."""
    replica = play.another_redis(**MASTER)
    with Proxy(play.redis.port) as link:
        replica.cli("REPLICAOF", HOST, link.port)
        play.wait(
            lambda: replica.cli("INFO", "replication")["master_link_status"] == "up",
            "the replica to be in step",
        )
        play.pause(play.rng.uniform(0.1, 0.5))
        play.fault("the replica's link is cut, and nobody knows")
        link.isolate()
        play.pause(play.rng.uniform(0.3, 1))
        yield replica


def promote(play: Play, replica: RedisServer) -> None:
    had = play.held(play.redis)
    play.redis.kill()
    replica.cli("REPLICAOF", "NO", "ONE")
    play.forgotten += max(0, had - play.held(replica))
    play.use(replica)
    play.over()


def failover(play: Play) -> None:
    """the master dies with events that the replica never had; the producer has them still"""
    with replica_that_lags(play) as replica:
        play.fault("the master is killed, the replica promoted")
        promote(play, replica)


def failover_without_producer(play: Play) -> None:
    """the master dies with events that the replica never had, and the worker dies with it"""
    with replica_that_lags(play) as replica:
        play.fault("master and worker are killed, the replica promoted")
        play.worker.kill()
        promote(play, replica)
    play.wait(lambda: play.statuses() == {"lost"}, "the tasks to be lost")
    play.recovers()
    play.lane.replace_worker()
    play.ended = True


def failover_of_everything(play: Play) -> None:
    """master, worker and web server die at once; tasks delivered again have written on before the viewers are back"""
    with replica_that_lags(play) as replica:
        seen = {task: seq_of(last or "") for task, last in play.lasts().items()}
        play.fault("master, worker and web server are killed, the replica promoted")
        play.worker.kill()
        play.web.kill()
        promote(play, replica)
    play.lane.replace_worker()
    play.wait(
        lambda: all(seq_of(last or "") > seen[task] for task, last in play.lasts().items()),
        "another history as long as the one that was seen",
    )
    play.web.start()
    play.over()


def split_brain(play: Play) -> None:
    """for some seconds the worker writes to the old master, while the web server is at the new one; or the reverse"""
    with replica_that_lags(play) as replica:
        first, second = play.rng.sample(play.links, 2)
        play.fault("the replica is promoted, and only one party is told")
        replica.cli("REPLICAOF", "NO", "ONE")
        first.switch(replica.port)
        play.pause(play.rng.uniform(0.5, play.size.seconds + 2))
        second.switch(replica.port)
        play.use(replica)
        play.over()


@contextmanager
def behind_sentinel(lane: Lane) -> Iterator[Lane]:
    with RedisServer(**MASTER) as primary, RedisServer(**MASTER) as replica:
        replica.cli("REPLICAOF", HOST, primary.port)
        wait_until(lambda: replica.cli("ROLE")[3] == "connected", 20, "the copy")
        with RedisSentinel(primary) as sentinel:
            guarded = Guarded(primary, replica, sentinel.url)
            with Lane(f"{lane.name}-guarded", lane.broker, lane.stopping, guarded) as own:
                yield own


def sentinel(play: Play) -> None:
    """the primary dies, a real Sentinel promotes a replica that lags"""
    assert play.lane.guarded
    replica = play.lane.guarded.replica
    replica.cli("REPLICAOF", HOST, 1)
    play.pause(play.rng.uniform(0.3, 1))
    play.fault("the primary is killed")
    had = play.held(play.redis)
    play.redis.kill()
    play.wait(lambda: is_master(replica), "the promotion")
    play.forgotten += max(0, had - play.held(replica))
    play.redis = replica
    play.over()


def is_master(server: RedisServer) -> bool:
    try:
        return bool(server.cli("ROLE")[0] == "master")
    except RedisError:  # it sends everybody away when it is promoted
        return False


ROWS = (
    Row("sentinel", sentinel, site=behind_sentinel),
    Row("failover", failover, redis=MASTER),
    Row("failover-without-producer", failover_without_producer, gaps=FORK, redis=MASTER),
    Row(
        "failover-of-everything",
        failover_of_everything,
        gaps=FORK,
        redis=MASTER,
        job="write_late",
    ),
    Row("split-brain", split_brain, gaps=FORK, redis=MASTER),
)
