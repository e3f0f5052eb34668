"""A task that takes as long as it is told: to try a page, a proxy or a worker's death with."""

import time

from headway import plan, stage, staged
from headway.errors import Failure
from workers.celery import app


@app.task(name="workers.paced")
@staged()
def paced(
    stages: int = 4, steps: int = 25, seconds: float = 5.0, fail_at: int | None = None
) -> dict[str, int]:
    """Spread `seconds` evenly over all steps of all stages; fail halfway through stage `fail_at`."""
    planned = [stage(f"stage-{n}", label=f"Stage {n}", unit="step") for n in range(1, stages + 1)]
    plan(*planned)
    pause = seconds / (stages * steps)
    for number, this in enumerate(planned, start=1):
        with this as running:
            running.report(f"{pause:.3g} s for each step")
            for step in running.track(range(steps)):
                if number == fail_at and step == steps // 2:
                    raise Failure(f"Stage {number} was told to fail")
                time.sleep(pause)
    return {"stages": stages, "steps": stages * steps}
