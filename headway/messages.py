"""What a Celery message or request says of its task. It comes from outside: all it holds is mended or left out."""

import datetime
import time
from collections.abc import Mapping
from typing import Any

from headway import values
from headway.stages import HEADER

MOST_SECONDS = 2**53  # of a moment since 1970; what is later is nonsense
MOST_RETRIES = 2**31
MOST_NAME = 255  # characters of a name, a title, an owner


def about(request: Any) -> Any:
    """Our header: beside a message's id, or, of an eager task, among the headers."""
    beside = request.get(HEADER) if hasattr(request, "get") else None
    return (request.headers or {}).get(HEADER) if beside is None else beside


def retries(request: Any) -> int:
    """How often it was sent again under its id: by Celery's count, or ours, which knows of replacements too."""
    said = about(request)
    ours = said.get("retries") if isinstance(said, Mapping) else None
    return max(request.retries or 0, ours if isinstance(ours, int) and ours < MOST_RETRIES else 0)


def facts(name: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """What the sender says of a task."""

    def text(key: str) -> str | None:
        return None if about.get(key) is None else values.text(about[key], MOST_NAME)

    def moment(key: str) -> float | None:
        said = about.get(key)
        return float(said) if isinstance(said, int | float) and abs(said) < MOST_SECONDS else None

    return {
        "name": values.text(name, MOST_NAME),
        "title": text("title"),
        "workflow": text("workflow"),
        "queued_at": moment("queued_at"),
        "due_at": moment("due_at"),
    }


def owner(about: Mapping[str, Any]) -> str | None:
    return None if about.get("owner") is None else values.text(about["owner"], MOST_NAME)


def line(exchange: object, routing_key: object, properties: object) -> object:
    """The queue a message goes to, if it is named and its messages are taken in the order they were sent."""
    priority = properties.get("priority") if isinstance(properties, Mapping) else None
    return None if exchange or priority else routing_key


def queue(about: Mapping[str, Any]) -> str | None:
    """The queue it was put into; None while it is not its time yet, and when it is sent again."""
    fresh = about.get("due_at") is None and not about.get("retries")
    return values.text(about["queue"], MOST_NAME) if fresh and about.get("queue") else None


def instant(said: object) -> float | None:
    """The moment that an `eta` or `expires` names."""
    try:
        return datetime.datetime.fromisoformat(str(said)).timestamp() if said else None
    except ValueError:
        return None


def delay(when: object) -> float | None:
    if isinstance(when, datetime.datetime):
        return max(0.0, when.timestamp() - time.time())
    return float(when) if isinstance(when, int | float) else None
