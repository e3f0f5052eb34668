"""Tasks that go as far as a test lets them, in an app that a worker and a Flower can load.

`allow(url, n)` lets every task take n of its twenty steps: ten in each of its two stages.
"""

import os
import time

import redis
from celery import Celery
from celery.signals import worker_init

import headway.celery
from headway import reported, stage, staged

STEPS = 20
NASTY = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
)

app = Celery("flower_tasks")  # CELERY_BROKER_URL says where
app.conf.update(task_track_started=True, broker_connection_retry_on_startup=True)
headway.celery.install(app)


@worker_init.connect  # after Headway's own, which connects it
def disconnect(**_):
    if os.environ.get("FLOWER_TASKS_DISCONNECTED"):
        reported.disconnect(dispatch_uid="headway.monitors")


def take(step: int) -> None:
    """Ask the journals' Redis where they have one of their own: the broker may be gone."""
    url = os.environ.get("HEADWAY_REDIS_URL") or os.environ["CELERY_BROKER_URL"]
    with redis.Redis.from_url(url) as client:
        while int(client.get("steps") or 0) <= step:
            time.sleep(0.02)


@app.task(bind=True, name="tests.steps", max_retries=1)
@staged(stage("read", label="Read", unit="page"), stage("write", label="Write", unit="page"))
def steps(self, retry_at: int | None = None) -> int:
    for half, key in enumerate(("read", "write")):
        for number in stage(key).track(range(STEPS // 2)):
            step = number + half * STEPS // 2
            if step == retry_at and not self.request.retries:
                raise self.retry(countdown=4)
            take(step)
    return STEPS


@app.task(name="tests.nasty")
@staged(stage("nasty", label=NASTY, unit=NASTY))
def nasty() -> None:
    with stage("nasty") as running:
        running.report(NASTY, current=1, total=2)
        take(0)


@app.task(name="tests.plain")
def plain() -> str:
    """Headway does not track it."""
    take(0)
    return "plain"
