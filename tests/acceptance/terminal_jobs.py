"""A task for those who watch in a terminal: it is sent, fails, waits, is tried again and succeeds.

`celery -A tests.acceptance.terminal_jobs worker`; `python -m tests.acceptance.terminal_jobs 2` sends one that waits so
many seconds, and prints its id.
"""

import os
import sys

from celery import Celery, Task

import headway.celery
from headway import about, emit, stage, staged, track
from headway.errors import Failure

app = Celery("terminal", broker=os.environ.get("CELERY_BROKER_URL", "memory://"))
app.conf.update(broker_connection_retry_on_startup=True)
headway.celery.install(app)


@app.task(bind=True, max_retries=2, name="tests.stubborn")
@staged(stage("read", unit="page"), "score")
def stubborn(self: Task, pause: float) -> dict[str, int]:
    for page in track(range(3), "read"):
        if page == 2 and not self.request.retries:
            raise self.retry(countdown=pause, exc=Failure("page 3 is torn"))
    emit("token", {"text": "almost"})
    with stage("score"):
        return {"pages": 3}


if __name__ == "__main__":
    print(stubborn.apply_async([float(sys.argv[1])], headers=about(title="real.pdf")).id)
