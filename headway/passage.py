"""What the doctor asks of the web: whether an event comes through to a viewer, when, and what stands in the way.

It watches the throwaway task as a browser would, and has it say something each time it wants to know.
"""

import http.client
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

from headway.checkup import PATIENCE, Finding, Trial, Verdict, clock, shown
from headway.errors import JournalUnavailable
from headway.events import Emitted, Finished, Snapshot
from headway.probe import CONNECT_SECONDS, Probe
from headway.told import problem_in

LATE = 2.0  # seconds for an event to come through: more is no network's

SAME_REDIS = "Give web processes and workers the same HEADWAY_REDIS_URL, with the same number of the database."
BLUEPRINT = "Say where the blueprint is: --url http://127.0.0.1:8000/headway."
LOGIN = "Let viewers through to Headway's routes: it is not Headway that refuses."
TOKEN = (
    "Pass --token, and --task if it is for one task; or, where ids may be known to anyone, set "
    "HEADWAY_ALLOW_ANONYMOUS=1 for the site."
)
OWN_ROUTE = (
    "Or name a route of your own that streams the task put for {task}: "
    "--url http://127.0.0.1:8000/texts/{task}/stream"
)

T = TypeVar("T")


class Passage:
    """Everything about the web, one step after another; a fault is the last, since no later step could be believed."""

    def __init__(self, trial: Trial, url: str, token: str | None, hold: float | None) -> None:
        self._trial = trial
        self._url = url
        self._token = token
        self._hold = hold
        self._probe = Probe(url, token)
        self._began = time.monotonic()

    def __iter__(self) -> Iterator[Finding]:
        self._probe.start()
        try:
            for step in (
                self._reached,
                self._let_in,
                self._headers,
                self._opened,
                self._live,
                self._held,
                self._ended,
            ):
                found = step()
                yield from found
                if any(finding.verdict == "fault" for finding in found):
                    return
        finally:
            self._probe.leave()
            with suppress(JournalUnavailable):
                self._trial.end()

    def _reached(self) -> list[Finding]:
        probe, where = self._probe, shown(self._url)
        probe.wait(lambda: probe.socket, CONNECT_SECONDS + PATIENCE)
        if probe.wait(lambda: probe.answer):
            return []
        if probe.error:
            fix = "Start the site, or point HEADWAY_URL (or --url) at where it is."
            if isinstance(probe.error, ssl.SSLError):
                fix = "Give the site a certificate that this machine trusts, or trust its issuer: SSL_CERT_FILE=<file>"
            said = f"{where} cannot be reached: {probe.error}"
            return [Finding("web", "fault", said, fix)]
        self._trial.end()
        if probe.wait(lambda: probe.answer):
            return [self._buffered("Not a byte of the stream came before its task had ended")]
        said = f"{where} takes the connection, and does not answer."
        fix = "Serve the site with a worker that holds many streams at once: gunicorn -k gevent"
        return [Finding("web", "fault", said, fix)]

    def _let_in(self) -> list[Finding]:
        reached = Finding("web", "ok", f"{shown(self._url)} answers.")
        if self._probe.is_stream:
            said = "The token is taken." if self._token else "The stream needs no token."
            return [reached, Finding("access", "ok", said)]
        self._probe.wait(lambda: self._probe.over)
        refusal = self._refusal()
        return [refusal] if refusal.check == "web" else [reached, refusal]

    def _refusal(self) -> Finding:
        """Why the answer is no stream."""
        status, problem = self._answer.status, problem_in(self._probe.page)
        said = f"{shown(self._url)} answers {status}: {problem.detail or self._server}"
        match status:
            case 401 | 403 if problem.detail:
                return Finding("access", "fault", said, f"{TOKEN} {OWN_ROUTE}")
            case 401 | 403:
                return Finding("access", "fault", said, f"{LOGIN} {OWN_ROUTE}")
            case 404 if self._trial.task in problem.tasks:
                return Finding("same-redis", "fault", said, SAME_REDIS)
            case 500 | 502 | 503 | 504:
                fix = "Start the web process behind the proxy, and look into its log."
                return Finding("web", "fault", said, fix)
            case 301 | 302 | 303 | 307 | 308:
                said += f" sends viewers on to {shown(self._answer.headers.get('Location', ''))}"
        return Finding("route", "fault", said, f"{BLUEPRINT} {OWN_ROUTE}")

    def _headers(self) -> list[Finding]:
        caching = self._answer.headers.get("Cache-Control", "")
        coding = self._answer.headers.get("Content-Encoding")
        found = [Finding("headers", "ok", "The stream's headers arrive as they were sent.")]
        if "no-store" not in caching or "no-transform" not in caching:
            said = f"Cache-Control arrives as {caching!r}: what stands between may keep or change the stream."
            fix = "Have the proxy leave Cache-Control alone; in nginx: no expires and no add_header Cache-Control."
            found = [Finding("headers", "warning", said, fix)]
        if coding:
            said = f"The stream arrives compressed ({coding}): events wait for the compressor, and viewers cost memory."
            fix = "Do not compress text/event-stream; in nginx: gzip off; in the location of /headway/"
            return [*found, Finding("compression", "warning", said, fix)]
        return [*found, Finding("compression", "ok", "The stream is not compressed.")]

    def _opened(self) -> list[Finding]:
        probe = self._probe
        if not probe.wait(lambda: self._heard(Snapshot)):
            if probe.over:
                return [self._broken()]
            self._trial.end()
            probe.wait(lambda: self._heard(Snapshot))
            return [
                self._buffered("The stream opened, and not an event came before its task had ended")
            ]
        at, snapshot = self._heard(Snapshot) or (0.0, None)
        if snapshot and not snapshot.state.confirmed:
            said = "The site knows nothing of a task that is in the Redis examined here: it reads another one."
            return [Finding("same-redis", "fault", said, SAME_REDIS)]
        arrived = time.time() - (time.monotonic() - at)
        return [clock("The site", snapshot.at - arrived)] if snapshot else []

    def _live(self) -> list[Finding]:
        """An event that is written now arrives now."""
        probe, start = self._probe, time.monotonic()
        self._trial.emit(1)
        if not probe.wait(lambda: self._heard(Emitted)):
            if probe.over:
                return [self._broken()]
            self._trial.end()
            if probe.wait(lambda: self._heard(Emitted)):
                return [self._buffered("An event came only when its task had ended")]
            said = "An event that was written did not come through to the stream of its task."
            return [Finding("event", "fault", said, f"Restart the web processes. {SAME_REDIS}")]
        at, _ = self._heard(Emitted) or (start, None)
        took = f"An event comes through {(at - start) * 1000:.0f} ms after it was written"
        if at - start > LATE:
            return [self._buffered(took, "warning")]
        return [Finding("buffering", "ok", f"{took}: nothing holds it back.")]

    def _held(self) -> list[Finding]:
        """A stream on which nothing happens is left alone, and its heartbeats come."""
        probe, seconds = self._probe, self._hold
        if seconds == 0:
            return [Finding("cut", "skipped", "Whether a quiet stream is cut was not waited for.")]
        since = time.monotonic()
        if seconds is not None:
            probe.wait(lambda: False, seconds)
        elif not self._beats():
            return [self._buffered("The heartbeat of a quiet stream did not come through")]
        if probe.over and probe.dismissed:
            said = "The site itself ended the quiet stream (HEADWAY_IDLE, HEADWAY_LIFETIME); viewers come back."
            return [Finding("cut", "ok", said)]
        if probe.over:
            return [self._cut()]
        quiet = time.monotonic() - since
        return [Finding("cut", "ok", f"A stream that was quiet for {quiet:.1f} s is still open.")]

    def _beats(self) -> bool:
        """Wait for a heartbeat, which whatever is said puts off; False when there is silence instead."""
        probe, before = self._probe, self._probe.heartbeats
        while probe.heartbeats == before and not probe.over:
            if not probe.hears(probe.heartbeat + PATIENCE):
                return probe.over
        return True

    def _ended(self) -> list[Finding]:
        if self._probe.over:  # by the site itself, before its task
            return []
        self._trial.end()
        if self._probe.wait(lambda: self._heard(Finished)):
            return []
        return [self._buffered("The last event of the stream did not come through")]

    @property
    def _answer(self) -> http.client.HTTPResponse:
        assert self._probe.answer is not None
        return self._probe.answer

    @property
    def _server(self) -> str:
        return self._answer.headers.get("Server") or "a server that does not say its name"

    def _heard(self, kind: type[T]) -> tuple[float, T] | None:
        """The first event of that kind, and when it came."""
        for at, told in self._probe.told:
            if isinstance(told.event, kind):
                return at, told.event
        return None

    def _buffered(self, said: str, verdict: Verdict = "fault") -> Finding:
        said += f": something between here and the site holds it back. The answer comes from {self._server}."
        fix = (
            "Have each proxy pass text/event-stream on at once. In nginx, in the location of /headway/: "
            "proxy_buffering off; proxy_cache off; and no proxy_ignore_headers X-Accel-Buffering"
        )
        return Finding("buffering", verdict, said, fix)

    def _broken(self) -> Finding:
        why = self._probe.error or "it was ended"
        said = f"The stream broke off in the middle of its task: {why}. The answer came from {self._server}."
        fix = "Look into the logs of the site, and of the proxies before it."
        return Finding("cut", "fault", said, fix)

    def _cut(self) -> Finding:
        seconds = time.monotonic() - self._began
        said = (
            f"The quiet stream was cut after {seconds:.1f} s, before its task had ended. Heartbeats come every "
            f"{self._probe.heartbeat:g} s; the answer comes from {self._server}."
        )
        fix = (
            "Let the proxy wait longer than three heartbeats, in nginx: proxy_read_timeout 1h; or have the site "
            "send them more often: HEADWAY_HEARTBEAT=<a third of the proxy's limit, in seconds>"
        )
        return Finding("cut", "fault", said, fix)
