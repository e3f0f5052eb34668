"""The network between the site and its Redis fails."""

from collections.abc import Callable

from tests.chaos.play import Play
from tests.chaos.proxy import Line
from tests.chaos.row import TRIMMED, Row
from tests.chaos.shapes import Shape, byte_by_byte, late, whole


def subscribed(line: Line) -> bool:
    return line.subscribed


def heard(line: Line) -> bool:
    return line.subscribed and line.flows.is_set()


def asking(line: Line) -> bool:
    return not line.subscribed


def pubsub_killed(play: Play) -> None:
    """CLIENT KILL TYPE pubsub, several times in short order"""
    for _ in range(3):
        play.fault("CLIENT KILL TYPE pubsub")
        play.redis.cli("CLIENT", "KILL", "TYPE", "pubsub")
        play.pause(play.rng.uniform(0.02, 0.3))


def pubsub_half_open(play: Play) -> None:
    """the hub's subscribed connection goes silent, and nothing says so"""
    play.fault("the subscribed connection is frozen")
    play.hub_link.freeze(subscribed)
    play.recovers()  # by the audit, from time to time
    play.wait(lambda: play.hub_link.count(heard), "another subscription")
    play.over()


def commands_half_open(play: Play) -> None:
    """all connections with commands go silent, the hub's and the worker's, and then the subscription breaks"""
    play.fault("all command connections are frozen")
    play.worker_link.freeze(asking)
    play.hub_link.freeze(asking)
    play.pause(play.rng.uniform(0.0, 0.5))
    play.hub_link.cut(subscribed)


def commands_reset(play: Play) -> None:
    """RST to all connections with commands"""
    for link in play.links:
        play.fault("RST to the command connections")
        link.cut(asking, reset=True)
        play.pause(play.rng.uniform(0.0, 0.2))


def everything_reset(play: Play) -> None:
    """RST to every connection with Redis at once"""
    play.fault("RST to everything")
    for link in play.links:
        link.cut(reset=True)


def reply_lost(play: Play) -> None:
    """Redis appends, and its reply to the producer is lost with the connection"""
    play.fault("the replies to a script are lost")
    play.worker_link.mute_replies = play.rng.randint(1, 3)
    play.wait(lambda: not play.worker_link.mute_replies, "lost replies")


def messages_lost(play: Play) -> None:
    """some published messages vanish while the connection lives: the next one shows a hole"""
    lost = play.hub_link.lost
    play.fault("every third published message is lost")
    play.hub_link.losing = lambda _: play.rng.random() < 0.3
    play.wait(lambda: play.hub_link.lost - lost > 5, "lost messages")
    play.hub_link.losing = lambda _: False
    play.over()


def last_messages_lost(play: Play) -> None:
    """the last published messages vanish, and nothing follows that would show it: the audit must"""
    lost = play.hub_link.lost
    play.hub_link.losing = lambda _: True
    play.fault("all published messages are lost, and then the tasks say nothing more")
    play.wait(lambda: play.hub_link.lost - lost > 5, "lost messages")
    play.order("quiet")
    play.pause(0.3)
    play.over()
    play.recovers()
    play.hub_link.losing = lambda _: False
    play.order("write")
    play.over()


def isolated(play: Play) -> None:
    """neither the hub nor the worker reaches Redis for a while; then all that was said comes"""
    for link in play.rng.choice([play.links, play.links[:1], play.links[1:]]):
        play.fault("no packet passes")
        link.isolate()
    play.pause(play.rng.uniform(0.2, play.size.seconds))
    for link in play.links:
        link.thaw()
    play.over()


def backlog_full(play: Play) -> None:
    """Redis is out of the worker's reach for longer than its backlog lasts: it drops events, and says so"""
    play.fault("no packet of the worker passes, and 1,500 events come")
    play.worker_link.isolate()
    for i in range(5):
        play.order(f"burst 300 0 {i}")
        play.pause(0.3)
    play.worker_link.thaw()
    play.over()


def delayed(play: Play) -> None:
    """what Redis says comes late, then in single bytes"""
    play.fault("80 ms late")
    _shape(play, lambda _: late(0.08))
    play.pause(play.rng.uniform(0.5, 1.5))
    play.fault("byte by byte")
    _shape(play, lambda _: byte_by_byte(10_000))
    play.pause(play.rng.uniform(0.5, 1.5))
    _shape(play, lambda _: whole)
    play.over()


def _shape(play: Play, shaping: Callable[[Line], Shape]) -> None:
    for link in play.links:
        link.shaping = shaping
        link.cut()


ROWS = (
    Row("pubsub-killed", pubsub_killed, quick=True, mixes=True),
    Row("pubsub-half-open", pubsub_half_open),
    Row("commands-half-open", commands_half_open, quick=True, mixes=True),
    Row("commands-reset", commands_reset, quick=True, mixes=True),
    Row("everything-reset", everything_reset, quick=True, mixes=True),
    Row("reply-lost", reply_lost, quick=True, mixes=True),
    Row("messages-lost", messages_lost, quick=True, mixes=True),
    Row("last-messages-lost", last_messages_lost),
    Row("isolated", isolated, quick=True, mixes=True),
    Row("backlog-full", backlog_full, gaps=TRIMMED),
    Row("delayed", delayed),
)
