"""Nothing a task says can forge a frame, a field or an id: from the report to what a parser finds."""

import json
import logging
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as st

import headway.celery
from headway import about, attempts, emit, report, stage, staged, track
from headway.attempts import Attempt
from headway.errors import Failure, InvalidReport
from headway.events import Event, Execution, Started, Subject, encode
from headway.signals import reported
from headway.stages import HEADER
from headway.topics import frame
from tests.celery_apps import NoPublisher
from tests.eventstream import parse
from tests.unit.test_sse import by_httpx_sse, by_sseclient

TASK = "t1"
ID = "3-77"

HOSTILE = {
    "CR": "a\rb",
    "LF": "a\nb",
    "CRLF": "a\r\nb",
    "NUL": "a\0b",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "next line": "a\x85b",
    "vertical tab": "a\vb",
    "form feed": "a\fb",
    "information separators": "a\x1c\x1d\x1e\x1fb",
    "byte order mark": "\ufeffa",
    "lone high surrogate": "a\ud800b",
    "lone low surrogate": "\udc00",
    "surrogates the wrong way round": "\udc00\ud800",
    "a frame of data": "\n\ndata: x\n\n",
    "a frame of data with CRs": "\r\rdata: x\r\r",
    "an id": "\nid: 9",
    "an empty id": "\nid\n",
    "a name": "\nevent: open",
    "a retry": "\nretry: 1\n\n",
    "a comment": "\n: hello\n\n",
    "a colour": "\x1b[31mred",
    "a colour in C1": "\x9b31mred",
    "right to left": "\u202egpj.exe\u2066\u2069\u200f",
    "the end of JSON": '"}\n\ndata: {"type":"finished"}',
    "backslashes": "\\u000a\\n\\",
    "markup": "</script><!--",
    "DEL": "a\x7fb",
    "astral": "a\U0001f600b",
}

texts = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)


@pytest.fixture(scope="module")
def celery() -> Iterator[Celery]:
    """An app whose tasks report, and nobody carries it to a Redis."""
    with pytest.MonkeyPatch.context() as patch, Celery(set_as_current=False) as app:
        patch.setattr(headway.celery.Lifecycle, "publisher", NoPublisher(None))
        headway.celery.install(app, redis_url="redis://nowhere", show_errors=True)
        yield app
        assert headway.celery._installed
        headway.celery._installed.disconnect()


def heard(act: Callable[[], object]) -> list[Event]:
    """The events of all that is reported meanwhile."""
    told: list[Event] = []

    def hear(event: Event, **_: object) -> None:
        told.append(event)

    reported.connect(hear, weak=False)
    try:
        act()
    finally:
        reported.disconnect(hear)
    return told


def task_saying(celery: Celery, text: str, *, fail: bool) -> Callable[[], object]:
    """Runs a task that says the text wherever it can."""
    everything = {text: [text, {text: text}]}

    @staged(stage(text, label=text, unit=text), stage("after", needs=[text]))
    def say() -> object:
        with stage(text, label=text, unit=text) as live:
            live.report(text, current=1, total=2, data=everything)
        report(text, data=everything)
        emit("token", everything)
        for _ in track([1], f"2{text}"):
            pass
        stage("after").skip(text)
        if fail:
            raise Failure(text or "why")
        return everything

    name = f"tests.{len(celery.tasks)}"
    task = celery.task(name=name)(say)
    return lambda: task.apply(task_id=TASK)


def attempt_known_by(text: str) -> Callable[[], object]:
    """An attempt whose facts are what others have said: its name, its title, its worker."""
    title = about(title=text)[HEADER].get("title")
    execution = Execution(task=TASK, nonce="n", retries=0, boot="b", began=0.0)

    def act() -> None:
        attempt = Attempt(execution, worker=text, facts={"name": text, "title": title})
        attempt.start()
        attempt.close()

    return act


def everything_said(celery: Celery, text: str) -> list[Event]:
    return [
        *heard(task_saying(celery, text, fail=False)),
        *heard(task_saying(celery, text, fail=True)),
        *heard(attempt_known_by(text)),
    ]


def received(event: Event) -> dict[str, Any]:
    """The event as a viewer has it, after making sure that it came as exactly one frame."""
    data = frame(Subject("task", TASK), ID, encode(event)).data
    assert re.fullmatch(rb"(event: token\n)?data: [\x20-\x7f]+\nid: t1/3-77\n\n", data)
    told = [(each.event, each.id, each.data) for each in parse(data)]
    assert len(told) == 1
    assert by_httpx_sse(data) == by_sseclient(data) == told
    found = json.loads(told[0][2])
    assert told[0][:2] == (
        found.get("name") if found["type"] == "emitted" else "message",
        f"t1/{ID}",
    )
    assert isinstance(found, dict)
    return found


def mended(text: str) -> str:
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def assert_one_line(text: str) -> None:
    assert len(text.splitlines()) == 1, text
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")], text
    assert 0 < len(text) <= 100


def assert_told_truly(told: list[dict[str, Any]], text: str) -> None:
    clean = mended(text)
    everything = {clean: [clean, {clean: clean}]}
    (emitted, _) = [event["data"] for event in told if event["type"] == "emitted"]
    assert emitted == everything
    (succeeded, failed) = [event for event in told if event["type"] == "finished"]
    assert succeeded["result"] == everything
    assert failed["error"]["message"] == (clean or "why")
    stages = [event["stage"] for event in told if event["type"] == "stage"]
    assert [each["data"] for each in stages if each["data"]] == [everything] * 2
    assert [each["message"] for each in stages if each["status"] == "skipped"] == [clean] * 2
    for each in stages:
        assert_one_line(each["key"])
        for field in ("label", "unit"):
            if each[field]:
                assert_one_line(each[field])
    assert told[-1]["title"] == clean
    assert told[-1]["name"] == told[-1]["worker"] == clean


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_text_is_one_frame_wherever_it_is_said(celery: Celery, what: str) -> None:
    told = [received(event) for event in everything_said(celery, HOSTILE[what])]
    assert_told_truly(told, HOSTILE[what])


@settings(deadline=None, max_examples=150)
@given(text=texts)
def test_any_text_is_one_frame_wherever_it_is_said(celery: Celery, text: str) -> None:
    told = [received(event) for event in everything_said(celery, text)]
    assert_told_truly(told, text)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts.map(mended), inner, max_size=4)
    ),
    max_leaves=20,
)


def all_mended(value: Any) -> Any:
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, list):
        return [all_mended(item) for item in value]
    if isinstance(value, dict):
        return {mended(name): all_mended(item) for name, item in value.items()}
    return value


@settings(deadline=None, max_examples=300)
@given(data=values)
def test_any_data_arrives_as_it_was(data: Any) -> None:
    execution = Execution(task=TASK, nonce="n", retries=0, boot="b", began=0.0)
    attempt = Attempt(execution, strict=True)
    (event,) = heard(lambda: attempt.emit("token", data))
    assert received(event)["data"] == all_mended(data)


@settings(deadline=None, max_examples=300)
@given(text=texts)
def test_a_stages_key_is_one_line_and_never_empty(text: str) -> None:
    assert_one_line(stage(text).key)


@pytest.mark.parametrize(
    "name",
    ["", "open", "error", "message", "a b", "é", "x" * 65, 7, None, "a/b", *HOSTILE.values()],
    ids=ascii,
)
def test_a_name_that_could_mean_something_else_is_refused_and_the_task_goes_on(
    celery: Celery, name: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @celery.task(name=f"tests.{len(celery.tasks)}")
    @staged
    def say() -> str:
        emit(name, 1)
        emit("token", 2)
        return "done"

    with caplog.at_level(logging.WARNING, "headway"):
        told = heard(lambda: say.apply(task_id=TASK))
    assert [event["name"] for event in map(received, told) if event["type"] == "emitted"] == [
        "token"
    ]
    assert received(told[-1])["result"] == "done"
    assert any("emitted event" in line or "EventSource" in line for line in caplog.messages)
    assert not any("\n" in line or "\x1b" in line for line in caplog.messages)


def test_a_strict_task_is_told_of_a_name_that_is_refused() -> None:
    execution = Execution(task=TASK, nonce="n", retries=0, boot="b", began=0.0)
    attempt = Attempt(execution, strict=True)
    with pytest.raises(InvalidReport, match="A-Z a-z 0-9"):
        attempt.emit("a\nid: 9", None)


@pytest.mark.parametrize("name", ["a", "a.b", "a-b", "a_b", "a:b", "x" * 64, "Open"])
def test_other_names_are_framed_as_they_are(name: str) -> None:
    execution = Execution(task=TASK, nonce="n", retries=0, boot="b", began=0.0)
    (event,) = heard(lambda: Attempt(execution).emit(name, None))
    (told,) = parse(frame(Subject("task", TASK), ID, encode(event)).data)
    assert told.event == name


def test_the_number_of_the_attempt_cannot_be_forged_by_what_is_told_of_the_task() -> None:
    """The journal writes it into the payload, at the first `"attempt":0`."""
    forged = '"attempt":0,"x":"'
    started = Started(task=TASK, at=1.0, name=forged, title=forged, worker=forged)
    payload = encode(started)
    before, after = payload.split(b'"attempt":0', 1)
    found = msgspec.json.decode(before + b'"attempt":7' + after)
    assert (found["attempt"], found["name"]) == (7, forged)


def test_outside_a_task_nothing_is_said() -> None:
    assert attempts.here.get()[0] is None
    assert heard(lambda: emit("token", "\n\ndata: x")) == []
