"""A state as the fields of a hash: what an event changes in it, and how it is read back. Pure."""

import msgspec

from headway.events import (
    Cancelling,
    Event,
    Finished,
    Retrying,
    StageReported,
    State,
    Subject,
    settle,
)


def changes(event: Event, old: State, new: State) -> tuple[bytes | str, ...]:
    """What a state's hash must be told, field by field, when this event has taken its source from one to the other."""
    told: list[bytes | str] = []
    contested = _CONTESTED.get(type(event), _ALWAYS)
    for name in _STATE_FIELDS:
        value = getattr(new, name)
        # Not by ==, to which 1, 1.0 and True are the same.
        if name in contested or value is not getattr(old, name):
            told += [name, msgspec.json.encode(value)]
    for i, stage in enumerate(new.stages):
        if i >= len(old.stages) or stage is not old.stages[i]:
            told += [f"stage:{i}", msgspec.json.encode(stage)]
    return tuple(told)


# "attempt" is the journal's own to number; stages have a field each; the rest is the reader's to say.
_STATE_FIELDS = [
    name
    for name in State.__struct_fields__
    if name not in ("task", "attempt", "stages", "stalled", "position", "confirmed")
]


# What an event says although it may be no news to its source: others write the same fields, and one source does
# not know what another has said.
_ALWAYS = frozenset({"updated_at"})
_CONTESTED: dict[type[Event], frozenset[str]] = {
    StageReported: _ALWAYS | {"remaining"},
    Cancelling: _ALWAYS | {"cancelling"},
    Retrying: _ALWAYS | {"error", "due_at", "remaining"},
    Finished: _ALWAYS | {"status", "result", "error", "finished_at", "remaining", "cancelling"},
}


def state_of(subject: Subject, fields: dict[bytes, bytes]) -> State | None:
    """The folded state that a hash holds, or None when somebody else wrote into it."""
    stages: list[tuple[int, bytes]] = []
    parts = [b'"task":' + msgspec.json.encode(subject.id), b'"confirmed":true']
    try:
        for name, value in fields.items():
            if name.startswith(b"stage:"):
                stages.append((int(name[6:]), value))
            elif not name.startswith(b"_"):
                parts.append(b'"%s":%s' % (name, value))
        parts.append(b'"stages":[%s]' % b",".join(value for _, value in sorted(stages)))
        return settle(msgspec.json.decode(b"{%s}" % b",".join(parts), type=State))
    except (msgspec.MsgspecError, ValueError):
        return None
