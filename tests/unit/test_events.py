"""Events and the state they fold into: by the shared examples, and by what holds for any log."""

import json
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headway import events
from headway.events import (
    ENDED,
    Cancelling,
    Emitted,
    Ended,
    Error,
    Event,
    Finished,
    Gap,
    Link,
    MessageReported,
    Position,
    Queued,
    Retrying,
    Snapshot,
    Stage,
    StageReported,
    Stalled,
    Started,
    State,
    decode,
    encode,
    fold,
    settle,
)

EXAMPLES = sorted(Path(__file__).parents[1].joinpath("fixtures", "fold").glob("*.json"))


def shown(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_shared_examples_fold_into_the_state_they_promise(path: Path) -> None:
    promised = shown(path)
    state = State(task=promised["state"]["task"])
    for said in promised["events"]:
        event = decode(json.dumps(said).encode())
        state = fold(state, event) if event else state
    assert json.loads(encode(state)) == promised["state"], promised["name"]


def test_the_shared_examples_show_every_event_and_every_status() -> None:
    examples = [shown(path) for path in EXAMPLES]
    types = {event["type"] for each in examples for event in each["events"]}
    assert types >= {kind.__struct_config__.tag for kind in EVENTS}
    assert {each["state"]["status"] for each in examples} == set(get_args(events.TaskStatus))
    stages = [stage for each in examples for stage in each["state"]["stages"]]
    assert {stage["status"] for stage in stages} == set(get_args(events.StageStatus))


# -- any log -------------------------------------------------------------------------------------------------

EVENTS = (Queued, Started, StageReported, MessageReported, Emitted, Cancelling, Retrying, Finished)

unhurried = settings(deadline=None)  # a busy machine is no bug
times = st.floats(1, 1e9)
some_text = st.none() | st.text(max_size=5)
some_data = st.none() | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
counts = st.none() | st.integers(0, 100)
shares = st.none() | st.floats(0, 1)
errors = st.none() | st.builds(
    Error, type=st.just("ValueError"), message=some_text, stage=some_text
)
stages = st.builds(
    Stage,
    key=st.sampled_from("abc"),
    status=st.sampled_from(get_args(events.StageStatus)),
    current=counts,
    total=counts,
    message=some_text,
    started_at=st.none() | times,
    finished_at=st.none() | times,
    runs=st.integers(0, 3),
)


def subject(kind: type, **fields: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, task=st.just("t"), at=times, **fields)


queued = subject(Queued, name=some_text, title=some_text, due_at=st.none() | times)
started = subject(
    Started,
    attempt=st.just(1),
    name=some_text,
    title=some_text,
    due_at=st.none() | times,
    started_at=times,
    progress=shares,
    stages=st.lists(stages, max_size=3, unique_by=lambda stage: stage.key).map(tuple),
)
told = st.one_of(
    subject(StageReported, stage=stages, progress=shares, remaining=st.none() | times),
    subject(MessageReported, message=some_text, data=some_data, progress=shares),
    subject(Emitted, name=st.just("token"), data=some_data),
)
lost = subject(Finished, status=st.just("lost"), error=errors)
finished = subject(Finished, status=st.sampled_from(sorted(ENDED)), result=some_data, error=errors)
retrying = subject(Retrying, error=errors, delay=st.none() | times)
any_event = st.one_of(queued, started, told, lost, finished, retrying)


def one_attempt(*ends: st.SearchStrategy[Event]) -> st.SearchStrategy[list[Event]]:
    """What the journal would hold of one attempt: times never go back, an end is the last."""
    logs = st.tuples(
        st.lists(queued, max_size=1),
        started.map(lambda event: [event]),
        st.lists(told | lost),
        st.one_of(st.just([]), *(end.map(lambda event: [event]) for end in ends)),
    )
    return logs.map(lambda parts: _in_time([event for part in parts for event in part]))


def _in_time(log: list[Event]) -> list[Event]:
    ats = sorted(event.at for event in log)
    return [msgspec.structs.replace(event, at=at) for event, at in zip(log, ats, strict=True)]


def folded(log: list[Event], state: State | None = None) -> State:
    return reduce(fold, log, state or State(task="t"))


@unhurried
@given(st.lists(any_event), any_event)
def test_folding_an_event_twice_in_a_row_is_folding_it_once(log: list[Event], last: Event) -> None:
    once = folded([*log, last])
    assert fold(once, last) == once


@settings(unhurried, max_examples=300)
@given(one_attempt(finished, retrying), st.data())
def test_folding_the_end_of_an_attempts_log_again_changes_nothing(
    log: list[Event], data: st.DataObject
) -> None:
    whole = folded(log)
    again = log[data.draw(st.integers(0, len(log))) :]
    assert folded(again, whole) == whole


@unhurried
@given(st.lists(any_event))
def test_settling_twice_changes_nothing(log: list[Event]) -> None:
    settled = settle(folded(log))
    assert settle(settled) == settled


@unhurried
@given(st.lists(any_event, min_size=1))
def test_every_event_is_a_sign_of_life_and_proof_that_the_task_exists(log: list[Event]) -> None:
    state = folded(log)
    assert state.confirmed
    assert state.updated_at == log[-1].at
    assert state.task == "t"


@unhurried
@given(st.lists(any_event))
def test_when_a_task_has_ended_well_no_stage_is_left_open_and_the_bar_is_full(
    log: list[Event],
) -> None:
    end = Finished(task="t", at=1e10, status="succeeded")
    state = folded([*log, end])
    assert state.progress == 1.0
    assert {stage.status for stage in state.stages} <= {"done", "failed", "skipped"}


@unhurried
@given(st.lists(any_event), started)
def test_a_new_attempt_knows_nothing_of_the_last_but_its_senders_facts(
    log: list[Event], begin: Started
) -> None:
    before, after = folded(log), folded([*log, begin])
    for field in State.__struct_fields__:
        if field in events.FACTS:
            known = getattr(begin, field, None)
            assert getattr(after, field) == (getattr(before, field) if known is None else known)
        else:
            assert getattr(after, field) == getattr(fold(State(task="t"), begin), field)


# -- on the wire ---------------------------------------------------------------------------------------------


@unhurried
@given(st.lists(any_event))
def test_what_was_encoded_decodes_to_the_same_and_so_does_the_state(log: list[Event]) -> None:
    for event in log:
        assert decode(encode(event)) == event
    state = folded(log)
    assert msgspec.json.decode(encode(state), type=State) == state


@unhurried
@given(st.text())
def test_whatever_the_text_it_is_one_line_of_ascii(text: str) -> None:
    line = encode(Emitted(task="t", at=0.0, name="token", data={text: [text]}))
    assert line.isascii()
    assert len(line.decode().splitlines()) == 1
    assert all(byte >= 0x20 for byte in line)
    assert json.loads(line)["data"] == {text: [text]}


@pytest.mark.parametrize("kind", [*EVENTS, Snapshot, Stalled, Position, Link, Ended])
def test_an_event_begins_with_its_type(kind: Any) -> None:
    more = {"stage": Stage(key="k"), "state": State(task="t"), "name": "n", "task": "t"}
    more |= {"status": "failed", "stalled": True, "position": 3, "live": True, "tasks": 1}
    wanted = {name: more[name] for name in kind.__struct_fields__ if name in more}
    tag = kind.__struct_config__.tag
    line = encode(kind(at=1.5, **wanted))
    begin = '{"type":"%s","at":1.5' if "task" not in wanted else '{"type":"%s","task":"t","at":1.5'
    assert line.startswith((begin % tag).encode())


def test_a_gap_is_only_there_when_something_was_lost() -> None:
    snapshot = Snapshot(task="t", at=1.0, state=State(task="t"))
    assert b"gap" not in encode(snapshot)
    gap = Gap(reason="trimmed", first=3, last=9)
    said = json.loads(encode(msgspec.structs.replace(snapshot, gap=gap)))
    assert said["gap"] == {"reason": "trimmed", "first": 3, "last": 9}
    assert said["v"] == events.WIRE_VERSION
    assert b"gap" not in encode(Started(task="t", at=1.0))


STATE = """task name title status stalled cancelling position confirmed attempt progress remaining message data
stages result error worker workflow due_at queued_at started_at updated_at finished_at"""
STAGE = """key label status current total unit message data needs started_at finished_at expected runs"""


def test_the_json_of_a_state_always_has_every_field() -> None:
    state = json.loads(encode(State(task="t", stages=(Stage(key="k"),))))
    assert set(state) == set(STATE.split())
    assert set(state["stages"][0]) == set(STAGE.split())


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"paused","task":"t","at":1}',
        b'{"type":"snapshot","task":"t","at":1,"state":{"task":"t"}}',
        b'{"type":"finished","task":"t","at":1,"status":"exploded"}',
        b'{"type":"stage","task":"t","at":1,"stage":{}}',
        b'{"type":"queued","task":"t"}',
        b'{"type":"queued","task":7,"at":1}',
        b'{"task":"t","at":1}',
        b"[]",
        b"null",
        b"",
        b"{",
        b"\xff",
    ],
    ids=repr,
)
def test_what_this_version_does_not_know_decodes_to_none(payload: bytes) -> None:
    assert decode(payload) is None


@unhurried
@example(b'{"type":"queued","task":"\xff","at":1}')
@given(st.binary() | st.recursive(st.none(), st.lists).map(encode))
def test_no_payload_makes_decode_raise(payload: bytes) -> None:
    decode(payload)


def test_a_payload_that_is_nested_too_deep_decodes_to_none() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert decode(b'{"type":"emitted","task":"t","at":1,"name":"n","data":' + deep + b"}") is None
