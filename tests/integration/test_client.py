"""`watch()` over real sockets, against a server that does what the test says."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headway import client as clients
from headway import viewer as viewers
from headway.client import LinkState, Refused, State, Unreachable, Watch, get, watch
from headway.errors import ConfigurationError
from headway.events import Emitted, encode
from headway.told import Told
from tests.processes import HOST, free_port, wait_until
from tests.sites import (
    OPENING,
    Site,
    bare,
    dropping,
    emitted,
    finished,
    message,
    opened,
    problem,
    saying,
    serve,
    snapshot,
)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as site:
        yield site


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two connections."""
    monkeypatch.setattr(viewers, "MIN_SECONDS", 0.002)
    monkeypatch.setattr(viewers, "MAX_SECONDS", 0.01)


def watched(site: Site, *tasks: str, **options: Any) -> Watch:
    return watch(*(tasks or "a"), base_url=site.url, **{"timeout": 15, **options})


def ids(told: list[Told]) -> list[str | None]:
    return [each.cursor for each in told if each.cursor]


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "headway-watch"]


# -- the way of a task -------------------------------------------------------------------------------


def test_events_come_all_and_in_order_until_the_task_has_ended(site: Site) -> None:
    site.always = saying(snapshot(1), emitted(2, "token", "x"), message(3, "y"), finished(4, 7))
    told = list(watched(site).events())
    assert ids(told) == ["1-1", "2-2", "3-3", "4-4"]
    assert isinstance(told[1].event, Emitted)
    (asked,) = site.requests
    assert (asked.method, asked.path) == ("GET", "/headway/tasks/a/events")
    assert asked.headers["accept"] == "text/event-stream"
    assert "authorization" not in asked.headers


def test_states_come_until_the_last_one(site: Site) -> None:
    site.always = saying(snapshot(1), message(2, "y"), finished(3, 7))
    *_, last = watched(site)
    assert (last.status, last.result) == ("succeeded", 7)


def test_a_slow_loop_has_the_newest_state_next_and_never_misses_the_last(site: Site) -> None:
    more = threading.Event()

    def answer(_: object, handler: Any) -> None:
        opened(handler, snapshot(1))
        more.wait(10)
        for seq in range(2, 200):
            handler.wfile.write(message(seq, str(seq)))
        handler.wfile.write(finished(200, "end"))

    site.always = answer
    seen = []
    watching = watched(site)
    for state in watching:
        seen.append(state)
        if len(seen) == 1:
            more.set()
            wait_until(lambda: watching.states["a"].status == "succeeded", what="the end")
    assert [state.status for state in seen] == ["running", "succeeded"]
    assert seen[-1].result == "end"


def test_who_leaves_the_loop_leaves_the_server_and_may_go_on_later(site: Site) -> None:
    site.script = [site.holding(snapshot(1), message(2, "x"))]
    site.always = saying(message(2, "x"), finished(3))
    watching = watched(site)
    for told in watching.events():
        assert told.cursor == "1-1"
        break
    wait_until(lambda: not site.requests[0].open, what="the server's end of it")
    assert ids(list(watching.events())) == ["2-2", "3-3"]
    assert site.requests[1].headers["last-event-id"] == "1-1"  # 2-2 was not looked at


def test_a_loop_over_states_that_is_left_ends_its_thread_and_its_connection(site: Site) -> None:
    site.script = [site.holding(snapshot(1))]
    site.always = saying(snapshot(1), finished(2))
    watching = watched(site)
    for _ in watching:
        break
    wait_until(lambda: not site.requests[0].open and not readers(), what="the end of all of it")
    assert [state.status for state in watching] == ["succeeded"]


def test_leaving_a_loop_between_two_tasks_skips_neither(site: Site) -> None:
    site.always = saying(finished(1, task="a"), finished(1, task="b"))
    watching = watched(site, "a", "b")
    seen = []
    for _ in range(2):
        for state in watching:
            seen.append(state.task)
            wait_until(lambda: watching.states["b"].status == "succeeded", what="the end of both")
            break
    assert seen == ["a", "b"]
    assert list(watching) == []


def test_what_a_callback_raises_is_the_loop_s_to_raise(site: Site) -> None:
    def on_link(link: LinkState) -> None:
        if link.status == "open":
            raise BrokenPipeError("nobody reads what it prints")

    site.always = saying(snapshot(1), message(2, "x"))
    with pytest.raises(BrokenPipeError):
        list(watched(site, on_link=on_link).events())
    assert len(site.requests) == 1


def test_close_ends_a_loop_from_another_thread_and_all_later_ones(site: Site) -> None:
    site.always = site.holding(snapshot(1))
    with watched(site) as watching:
        for _ in watching:
            threading.Thread(target=watching.close).start()
    assert watching.states["a"].status == "running"
    assert list(watching.events()) == []
    wait_until(lambda: not readers(), what="the thread's end")


def test_close_ends_a_connection_that_has_not_been_answered(site: Site) -> None:
    silent = threading.Event()
    site.always = lambda *_: silent.wait(20)
    watching = watched(site)
    threading.Thread(target=lambda: (wait_until(lambda: site.requests), watching.close())).start()
    began = time.monotonic()
    assert list(watching) == []
    assert time.monotonic() - began < 10
    silent.set()


def test_cursors_say_where_to_go_on(site: Site) -> None:
    site.always = saying(message(8, "x"), finished(9))
    watching = watched(site, cursors={"a": "7-7"})
    assert ids(list(watching.events())) == ["8-8", "9-9"]
    assert site.requests[0].headers["last-event-id"] == "7-7"
    assert watching.cursors == {"a": "9-9"}


def test_a_route_of_ones_own_needs_no_id(site: Site) -> None:
    site.always = saying(snapshot(1, "x"), finished(2, 3, "x"))
    *_, last = watch(url=f"{site.url}/texts/7/stream", timeout=15)
    assert (last.task, last.result) == ("x", 3)
    assert site.paths == ["/texts/7/stream"]


def test_where_the_site_is_may_be_in_the_environment(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWAY_URL", f"{site.url}/progress/")
    site.always = saying(snapshot(1), finished(2))
    assert len(list(watch("a", timeout=15).events())) == 2
    assert site.paths == ["/progress/tasks/a/events"]


@pytest.mark.parametrize("odd", [None, "", "localhost:8000", "ftp://x", "http://"])
def test_an_address_that_is_none_says_what_to_set(odd: str | None) -> None:
    with pytest.raises(ConfigurationError, match="HEADWAY_URL"):
        watch("a", base_url=odd)


# -- many on one connection --------------------------------------------------------------------------


def test_many_tasks_share_a_connection_and_end_one_by_one(site: Site) -> None:
    site.script = [saying(snapshot(1, "a"), snapshot(5, "b"), finished(2, task="a"))]
    site.always = saying(finished(6, task="b"))
    states = list(watched(site, "a", "b"))
    assert {state.task for state in states} == {"a", "b"}
    assert site.paths == ["/headway/events?task=a&task=b", "/headway/tasks/b/events"]
    assert site.requests[1].headers["last-event-id"] == "5-5"


def test_more_than_fifty_are_posted(site: Site) -> None:
    tasks = [f"t{n}" for n in range(60)]
    site.always = saying(*(finished(1, task=task) for task in tasks))
    assert len(list(watched(site, *tasks).events())) == 60
    assert (site.requests[0].method, site.requests[0].path) == ("POST", "/headway/events")
    assert b'"t59":null' in site.requests[0].body


def test_of_many_the_one_that_is_unknown_is_told_at_the_end(site: Site) -> None:
    site.script = [problem(404, detail="No such task.", tasks=["b"])]
    site.always = saying(snapshot(1), finished(2))
    watching = watched(site, "a", "b")
    seen = []
    with pytest.raises(Refused, match="No such task") as refused:
        seen.extend(state.status for state in watching)
    assert refused.value.tasks == ("b",)
    assert watching.states["a"].status == "succeeded"


# -- coming back -------------------------------------------------------------------------------------


def test_torn_at_every_byte_nothing_is_lost_or_doubled(site: Site) -> None:
    parts = [message(1, "x"), emitted(2, "token", "é"), message(3, "y"), finished(4, {"n": 1})]
    stream = OPENING + b"".join(parts)

    def from_there(asked: Any, handler: Any) -> None:
        seen = int(asked.headers.get("last-event-id", "0").partition("-")[0])
        opened(handler, *parts[seen:])

    site.always = from_there
    for cut in range(len(stream)):

        def torn(_: object, handler: Any, upto: int = cut) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            handler.wfile.write(stream[:upto])

        site.requests.clear()
        site.script = [torn]
        assert ids(list(watched(site).events())) == ["1-1", "2-2", "3-3", "4-4"], cut
        assert len(site.requests) <= 2


def test_a_chunked_answer_torn_in_the_middle_is_taken_up(site: Site) -> None:
    def torn(_: object, handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        body = snapshot(1)
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        handler.wfile.write(b"40\r\ndata: half")

    site.script = [torn]
    site.always = saying(finished(2))
    assert ids(list(watched(site).events())) == ["1-1", "2-2"]


def test_an_event_after_a_hole_is_not_taken_the_client_returns_by_cursor(site: Site) -> None:
    site.script = [site.holding(snapshot(1), message(3, "third"))]
    site.always = saying(message(2, "second"), message(3, "third"), finished(4))
    assert ids(list(watched(site).events())) == ["1-1", "2-2", "3-3", "4-4"]
    assert site.requests[1].headers["last-event-id"] == "1-1"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_some_answers_are_tried_again_for_ever(site: Site, status: int) -> None:
    site.script = [bare(status)] * 8 + [saying(snapshot(1)), bare(status), dropping]
    site.always = saying(finished(2))
    assert ids(list(watched(site).events())) == ["1-1", "2-2"]
    assert len(site.requests) == 12


def test_retry_after_is_heeded(site: Site) -> None:
    site.script = [bare(503, Retry_After="1")]
    site.always = saying(snapshot(1), finished(2))
    waits: list[float | None] = []
    began = time.monotonic()
    list(watched(site, on_link=lambda link: waits.append(link.retry_in)).events())
    assert time.monotonic() - began >= 1
    assert [round(wait) for wait in waits if wait] == [1]


def test_a_server_that_is_silent_for_three_heartbeats_is_given_up(site: Site) -> None:
    def silent(_: object, handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        handler.wfile.write(b"retry: 0\n:heartbeat 0.1\n" + snapshot(1))
        site.ended.wait(20)

    site.script = [silent]
    site.always = saying(finished(2))
    assert ids(list(watched(site).events())) == ["1-1", "2-2"]


def test_heartbeats_are_signs_of_life(site: Site) -> None:
    def beating(_: object, handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        handler.wfile.write(b"retry: 0\n:heartbeat 0.6\n" + snapshot(1))
        for _ in range(22):  # longer than three of them
            time.sleep(0.1)
            handler.wfile.write(b":\n")
        handler.wfile.write(finished(2))

    site.always = beating
    assert ids(list(watched(site).events())) == ["1-1", "2-2"]
    assert len(site.requests) == 1


def test_the_link_is_told_as_it_changes(site: Site) -> None:
    links: list[LinkState] = []
    site.script = [saying(snapshot(1)), dropping]
    site.always = saying(finished(2))
    list(watched(site, on_link=links.append).events())
    statuses = [link.status for link in links]
    changes = [now for now, before in zip(statuses, ["", *statuses], strict=False) if now != before]
    assert changes[:3] == ["connecting", "open", "reconnecting"]
    assert changes[-1] == "closed"


def test_a_server_that_never_answers_is_told_after_some_tries() -> None:
    url = f"http://{HOST}:{free_port()}"
    with pytest.raises(Unreachable, match=f"{url}/headway does not answer: Connection refused"):
        list(watch("a", base_url=url, tries=3))


def test_one_that_takes_connections_and_lets_them_go_is_told_too(site: Site) -> None:
    site.always = dropping
    with pytest.raises(Unreachable):
        list(watched(site, tries=2))
    assert len(site.requests) == 2


def test_one_that_was_there_is_waited_for(site: Site) -> None:
    site.script = [saying(snapshot(1)), *[dropping] * 20]
    site.always = saying(finished(2))
    assert ids(list(watched(site, tries=1).events())) == ["1-1", "2-2"]


@pytest.mark.parametrize("how", ["states", "events"])
def test_a_loop_has_a_deadline(site: Site, how: str) -> None:
    site.always = site.holding(snapshot(1))
    watching = watched(site, timeout=0.3)
    with pytest.raises(TimeoutError, match=r"after 0\.3 s"):
        list(watching if how == "states" else watching.events())
    site.always = bare(503, Retry_After="100")
    with pytest.raises(TimeoutError):
        list(watching)


def test_an_answer_that_is_no_http_is_tried_again() -> None:
    with socket.create_server((HOST, 0)) as server:

        def answer() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"SSH-2.0-nonsense\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(Unreachable):
            list(watch("a", base_url=f"http://{HOST}:{server.getsockname()[1]}", tries=2))


# -- what is final -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
@pytest.mark.parametrize("how", [list, lambda watching: list(watching.events())])
def test_a_refusal_is_raised_with_its_reason(
    site: Site, status: int, how: Callable[[Watch], object]
) -> None:
    site.always = problem(status, detail="Mend it so.")
    with pytest.raises(Refused, match=r"Mend it so\.") as refused:
        how(watched(site))
    assert refused.value.status == status
    assert len(site.requests) == 1


def test_a_refusal_after_a_good_time_is_final_as_well_and_what_was_known_stays(site: Site) -> None:
    site.script = [saying(snapshot(1))]
    site.always = problem(410, detail="Gone.")
    watching = watched(site)
    with pytest.raises(Refused):
        list(watching)
    assert watching.states["a"].status == "running"
    assert watching.link.status == "closed"


def test_204_is_the_end(site: Site) -> None:
    site.always = bare(204)
    assert list(watched(site, cursors={"a": "9-9"}).events()) == []
    assert len(site.requests) == 1


def test_redirects_are_followed_without_the_token_to_another_host(site: Site) -> None:
    with serve() as other:
        other.always = saying(snapshot(1), finished(2))
        moved = f"http://localhost:{other.port}/headway/tasks/a/events"
        site.always = bare(307, Location=moved)
        assert len(list(watched(site, token="secret").events())) == 2
        assert "authorization" not in other.requests[0].headers
        assert site.requests[0].headers["authorization"] == "Bearer secret"


# -- tokens ------------------------------------------------------------------------------------------


def test_a_function_is_asked_before_each_connection(site: Site) -> None:
    tokens = iter("123")
    site.script = [saying(snapshot(1))]
    site.always = saying(finished(2))
    list(watched(site, token=lambda _: next(tokens)))
    assert [asked.headers["authorization"] for asked in site.requests] == ["Bearer 1", "Bearer 2"]


def test_after_a_401_it_is_asked_once_more_and_told_so(site: Site) -> None:
    asked: list[bool] = []
    site.script = [bare(401)]
    site.always = saying(snapshot(1), finished(2))
    list(watched(site, token=lambda refused: str(asked.append(refused) or len(asked))))
    assert asked == [False, True]
    assert [request.headers["authorization"] for request in site.requests] == [
        "Bearer 1",
        "Bearer 2",
    ]


def test_two_refusals_in_a_row_are_final(site: Site) -> None:
    site.always = problem(401, detail="Log in.")
    with pytest.raises(Refused, match="Log in"):
        list(watched(site, token=lambda _: "stale"))
    assert len(site.requests) == 2


def test_a_token_that_cannot_be_had_is_tried_again_like_a_network(site: Site) -> None:
    tries = iter([True, True, False])

    def token(_: bool) -> str:
        if next(tries):
            raise ConnectionError("no network")
        return "good"

    site.always = saying(snapshot(1), finished(2))
    list(watched(site, token=token))
    assert len(site.requests) == 1


def test_headers_of_ones_own_are_sent(site: Site) -> None:
    site.always = saying(snapshot(1), finished(2))
    list(watched(site, headers={"X-Team": "7"}))
    assert site.requests[0].headers["x-team"] == "7"


# -- the state alone ---------------------------------------------------------------------------------


def test_the_state_alone(site: Site) -> None:
    state = State(task="a", status="running", result="x" * 300_000)
    site.always = bare(200, encode(state), Content_Type="application/json")
    assert get("a", base_url=site.url, token="t") == state
    assert site.paths == ["/headway/tasks/a"]
    assert site.requests[0].headers["authorization"] == "Bearer t"
    site.always = problem(404, detail="No such task.")
    with pytest.raises(Refused, match="No such task"):
        get("a", base_url=site.url)
    site.always = bare(200, b"<h1>a page</h1>")
    with pytest.raises(Unreachable):
        get("a", base_url=site.url)
    with pytest.raises(Unreachable, match="Connection refused"):
        get("a", base_url=f"http://{HOST}:{free_port()}")


def test_what_is_documented_is_there() -> None:
    assert set(clients.__all__) <= set(dir(clients))
