"""The joint between task code and everything that wants to know: one custom Celery signal.

Remove every receiver and tasks still run.
"""

from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from celery.utils.dispatch import Signal


class Reported(Signal):
    """A Celery signal that does not swallow a soft time limit.

    Celery's own `Signal.send` logs whatever a receiver raises and goes on. A soft time limit is an exception
    that lands wherever the task's thread happens to be: in a receiver, it would be lost and the task run on.
    """

    def send(self, sender: Any, **named: Any) -> list[tuple[Any, Any]]:
        responses: list[tuple[Any, Any]] = super().send(sender, **named)
        for _, response in responses:
            if isinstance(response, SoftTimeLimitExceeded):
                raise response
        return responses


#: Sent for every event, with `event` (a struct of `headway.events`) and `source` (who says it: an Execution,
#: a Supervisor or a Sender). `sender` is the Celery task, or the task's name where only that is known.
#: Transitions are sent from the task's thread, ticks from the sampler's, each execution's events one at a time
#: and in order. A receiver must take `**kwargs`, return at once and do no I/O; what it raises is logged.
reported = Reported(name="reported", providing_args=["event", "source"])
