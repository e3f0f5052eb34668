"""RabbitMQ brings the tasks; Redis keeps their journals, and nothing else."""

import time
import uuid
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError

import headway.celery
from tests.acceptance.outcomes import OUTCOMES, Outcome, Play, Played, play_all, sender_to
from tests.journals import Book
from tests.processes import HOST, Web, Worker, free_port, wait_until
from tests.rabbit import RabbitServer
from tests.watching import Watch

APP = "tests.acceptance.watched:app"
PREFORK = [outcome for outcome in OUTCOMES if "prefork" in outcome.pools]


@pytest.fixture(scope="module")
def played(rabbit: RabbitServer) -> dict[Outcome, Played]:
    return {outcome: played for _, outcome, played in play_all(["prefork"] * 2, rabbit.url)}


@pytest.mark.parametrize("outcome", PREFORK, ids=lambda outcome: outcome.name)
def test_every_outcome_is_told_as_it_is_when_redis_is_the_broker(
    played: dict[Outcome, Played], outcome: Outcome
) -> None:
    assert outcome.fits(played[outcome]), played[outcome]


class Site:
    """A worker with a queue of its own, and a web server that says `lost` soon."""

    def __init__(self, play: Play, web: Web) -> None:
        self.play = play
        self.web = web

    def watch(self, book: Book) -> Watch:
        return Watch(f"{self.web.url}/headway/tasks/{book.subject.id}/events", seconds=30)


@pytest.fixture
def site(rabbit: RabbitServer, redis_url: str) -> Iterator[Site]:
    with (
        sender_to(rabbit.url, redis_url) as sender,
        Play("prefork", rabbit.url, redis_url, sender) as play,
        Web(redis_url, app=APP, env={"HEADWAY_LOST_AFTER": "3"}) as web,
    ):
        # What RabbitMQ has confirmed survives it.
        sender.conf.broker_transport_options = {"confirm_publish": True}
        yield Site(play, web)


def stalls(watch: Watch) -> list[bool]:
    return [told.data["stalled"] for told in watch.seen if told.type == "stalled"]


def test_of_a_killed_workers_tasks_one_is_lost_and_the_other_is_delivered_again(site: Site) -> None:
    early = site.play.send_and_see_it_work("succeed", 60)
    late = site.play.send_and_see_it_work("succeed_late", 6)
    with site.watch(early) as lost, site.watch(late) as again:
        site.play.worker.kill()
        for watch in (lost, again):
            assert watch.until_type("stalled").data["stalled"] is True
        assert lost.until_type("finished").data["status"] == "lost"
        site.play.worker = site.play.new_worker()
        again.until(lambda told: told.type == "started" and told.data["attempt"] == 2)
        assert again.until_type("finished").data["status"] == "succeeded"
        assert stalls(again) == [True, False]


def test_tasks_go_on_without_rabbitmq_and_each_end_is_told_once(
    rabbit: RabbitServer, site: Site
) -> None:
    early = site.play.send_and_see_it_work("succeed", 9)  # it would be seen to stall
    late = site.play.send_and_see_it_work("succeed_late", 5)  # the worker reconnects after 6, or 12
    with site.watch(early) as one, site.watch(late) as other:
        rabbit.kill()
        rabbit.start()
        for watch in (one, other):
            assert watch.until_type("finished").data["status"] == "succeeded"
            assert stalls(watch) == []
    # It brings again what nobody could acknowledge.
    twin = f"{late.subject.id} is not taken any more: TERMINAL"
    wait_until(lambda: twin in site.play.worker.log, 60, "the late task's second execution")
    assert site.play.send("succeed").finished().status == "succeeded"
    for book in (early, late):
        told = ["started 1", "work running", "work done", "finished succeeded"]
        assert book.transitions()[1:] == told


def test_a_task_that_rabbitmq_drops_because_its_time_ran_out_has_expired(site: Site) -> None:
    queue = f"nobodys-{uuid.uuid4().hex}"
    sent = site.play.sender.send_task(
        "tests.acceptance.outcome_jobs.succeed", queue=queue, expires=1
    )
    with site.play.sender.connection_for_write() as connection:
        left = Queue(queue)(connection.default_channel).queue_declare
        wait_until(lambda: not left(passive=True).message_count, what="the message's end")
    assert Book(site.play.redis_url, sent.id).finished(30).status == "expired"


def test_sending_without_rabbitmq_fails_as_it_does_without_headway(redis_url: str) -> None:
    sent = str(uuid.uuid4())
    down = f"amqp://{HOST}:{free_port()}//"

    def send(sender: Celery) -> tuple[str, float]:
        start = time.monotonic()
        with pytest.raises(OperationalError) as raised:
            sender.send_task("tests.nobody", task_id=sent)
        return str(raised.value), time.monotonic() - start

    with Celery("plain", broker=down, set_as_current=False) as sender:
        usual, usual_seconds = send(sender)
    with Celery("sender", broker=down, set_as_current=False) as sender:
        headway.celery.install(sender, redis_url=redis_url, tasks=["tests.*"])
        ours, our_seconds = send(sender)
    assert ours == usual
    assert our_seconds < usual_seconds + 0.5  # 50 ms of it may be Redis's


def test_a_worker_without_a_redis_says_once_what_to_set_and_runs_its_tasks(
    rabbit: RabbitServer,
) -> None:
    with (
        Worker("threads", rabbit.url, app="tests.acceptance.terminal_jobs") as worker,
        Celery("sender", broker=rabbit.url, set_as_current=False) as sender,
    ):
        for _ in range(2):
            sender.send_task("tests.stubborn", [0])
        wait_until(lambda: worker.log.count("succeeded in") == 2, 20, "the end of both tasks")
        (warning,) = [line for line in worker.log.splitlines() if "No task is tracked" in line]
        assert "Set HEADWAY_REDIS_URL" in warning
