"""Tasks that go on until a file is there. `celery -A tests.browser.waiting_jobs worker`"""

import os
import time
from pathlib import Path

from celery import Celery, Task

import headway.celery
from headway import stage, staged
from headway.errors import Failure

app = Celery("waiting", broker=os.environ.get("CELERY_BROKER_URL", "memory://"))
app.conf.update(broker_connection_retry_on_startup=True)
headway.celery.install(app)


@app.task(name="tests.gated")
@staged("read", "chunk")
def gated(gate: str) -> None:
    with stage("read"):
        pass
    with stage("chunk"):
        _wait(gate)


@app.task(bind=True, max_retries=1, name="tests.resuming")
@staged("read", "chunk")
def resuming(self: Task, gate: str, pause: float) -> None:
    """What the first attempt has read the second need not read again."""
    if not self.request.retries:
        with stage("read"):
            pass
    with stage("chunk"):
        _wait(f"{gate}{self.request.retries}")
        if not self.request.retries:
            raise self.retry(countdown=pause, exc=Failure("Rate limited by provider"))


def _wait(gate: str) -> None:
    while not Path(gate).exists():
        time.sleep(0.02)
