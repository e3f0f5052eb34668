"""`headway doctor`: is everything between a task and its viewers as it should be, and if not, what to do about it.

Prints as it goes. Redis is examined by `checkup.py`, the way to the browser by `passage.py`; workers are asked here.
"""

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import click
from msgspec.structs import replace

from headway import checkup
from headway.checkup import Finding, Trial
from headway.client import blueprint_url
from headway.errors import ConfigurationError, JournalUnavailable
from headway.events import SUBJECT_ID
from headway.leases import anybody
from headway.passage import Passage
from headway.plain import as_line, plain
from headway.settings import Settings, load

if TYPE_CHECKING:
    from celery import Celery

FAULTY, UNREACHABLE = 1, 4  # exit codes; wrong usage is 2
AWAY = {"redis", "web"}  # checks whose fault is that there is nobody to ask
FIRST_SECONDS, MORE_SECONDS = 1.0, 3.0  # for workers to answer, and for one to answer if none has
BROKER_SECONDS = 10.0  # for all of that: a broker's client may try for ever

COLOURS = {"ok": "green", "skipped": "bright_black", "warning": "yellow", "fault": "red"}

UNREADABLE = (
    "--redis (HEADWAY_REDIS_URL) cannot be read. It is redis://<user>:<password>@<host>:<port>/<database>, or "
    "rediss:// or unix://, with %-escapes in the password for all but letters and digits."
)

NO_APP = "Name your Celery app to ask whether a worker listens: --app workers.celery:app"
NO_URL = "Name your site to follow an event to its viewers: --url http://127.0.0.1:8000"
NO_EVENT = "Nothing can come through the web while no event can be written."

EPILOG = """
\b
Examples:
  headway doctor --redis redis://localhost:6379/0
  headway doctor --app workers.celery:app --url http://127.0.0.1:8000
  headway doctor --url 'https://example.org/documents/{task}/stream' --token "$TOKEN"
  headway doctor --json | jq 'select(.fix)'

\b
Exit codes:
  0    nothing is wrong; there may be warnings
  1    something is
  2    wrong usage
  4    Redis or the site cannot be reached
  130  Ctrl-C
"""


@click.command(epilog=EPILOG)
@click.option("--redis", metavar="URL", help="Where the journals are. [HEADWAY_REDIS_URL]")
@click.option("--app", metavar="APP", help="Your Celery app: is a worker listening?")
@click.option(
    "--url",
    metavar="URL",
    envvar="HEADWAY_URL",
    help="The site as its viewers reach it, or a stream with {task} in it. [HEADWAY_URL]",
)
@click.option("--token", envvar="HEADWAY_TOKEN", help="Bearer token. [HEADWAY_TOKEN]")
@click.option("--task", metavar="ID", help="Of the throwaway task, if the token is for one task.")
@click.option(
    "--hold",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to see whether a quiet stream is cut: one heartbeat unless you say.",
)
@click.option("--json", "as_json", is_flag=True, help="One check per line, as JSON.")
def doctor(
    redis: str | None,
    app: str | None,
    url: str | None,
    token: str | None,
    task: str | None,
    hold: float | None,
    as_json: bool,
) -> None:
    """Check Redis, the workers and the way to the browser; what is wrong comes with its fix.

    A throwaway task is written into Redis, and followed. It is gone five minutes later; nothing else is changed.
    """
    celery = _celery(app) if app else None
    broker = celery.conf.broker_url if celery else os.environ.get("CELERY_BROKER_URL")
    hide = _hiding(redis, os.environ.get("HEADWAY_REDIS_URL"), str(broker), url, token)
    try:
        configured = {"redis_url": celery.conf.get("headway_redis_url")} if celery else {}
        where = load(Settings, {"redis_url": redis}, configured, broker=broker).redis_url
        trial = Trial(where, task, kept_seconds=hold or 0)
        stream = _stream_url(url, trial.task) if url else None
    except ConfigurationError as error:
        raise click.UsageError(hide(str(error))) from None
    except ValueError:  # whose text may hold a piece of the password
        raise click.UsageError(UNREADABLE) from None
    if task and not _may_be_written(trial):
        raise click.UsageError("--task is to be a new id, of 1 to 128 of A-Z a-z 0-9 . _ : -")

    findings = []
    with closing(trial.journal):
        for finding in _examined(trial, where, celery, app or "", stream, token, hold):
            findings.append(finding)
            fix = hide(finding.fix) if finding.fix else None
            _say(replace(finding, said=hide(finding.said), fix=fix), as_json)
    if not as_json:
        click.echo(_summary(findings))
    sys.exit(_exit_code(findings))


def _celery(name: str) -> "Celery":
    from celery.app.utils import find_app

    sys.path.insert(0, os.getcwd())  # as the celery command does
    try:
        return find_app(name)
    except Exception as error:  # importing it is anybody's code
        raise click.UsageError(
            f"--app {name} cannot be imported: {type(error).__name__}: {error}. Name a module and the app in it, "
            "such as workers.celery:app, and run this where Python finds them."
        ) from error


def _hiding(*said: str | None) -> Callable[[str], str]:
    """What takes the secrets in these out of any text, whoever wrote it."""
    secrets: set[str] = set()
    for each in filter(None, said):
        found = re.findall(r"://[^:@/]*:([^;]+)@", each) if "://" in each else [each]
        secrets |= {*found, *map(unquote, found)}
    if not secrets:
        return str
    words = "|".join(re.escape(secret) for secret in sorted(secrets, key=len, reverse=True))
    whole = re.compile(rf"(?<!\w)(?:{words})(?!\w)")  # a short one is part of many words
    return lambda text: whole.sub("***", text)


def _stream_url(said: str, task: str) -> str:
    """The stream of the throwaway task."""
    base = blueprint_url(said)
    try:
        urlsplit(base).port  # noqa: B018 - reading it is checking it
    except ValueError:
        raise ConfigurationError("The port in --url is no number.") from None
    return said.replace("{task}", task) if "{task}" in said else f"{base}/tasks/{task}/events"


def _may_be_written(trial: Trial) -> bool:
    if not SUBJECT_ID.fullmatch(trial.task):
        return False
    try:
        return trial.journal.lasts([trial.subject]) == [None]
    except JournalUnavailable:
        return True  # the checks will tell


def _examined(
    trial: Trial,
    where: str,
    celery: "Celery | None",
    app: str,
    stream: str | None,
    token: str | None,
    hold: float | None,
) -> Iterator[Finding]:
    written = False
    for finding in checkup.redis(trial, where):
        yield finding
        written = finding.check == "event" and finding.verdict == "ok"
    worker = _worker(celery, app) if celery else Finding("worker", "skipped", NO_APP)
    yield worker
    if written and worker.check == "worker" and worker.verdict in ("ok", "warning"):
        yield _lease(trial, app)
    if stream and written:
        yield from Passage(trial, stream, token, hold)
    else:
        yield Finding("web", "skipped", NO_EVENT if stream else NO_URL)


# -- workers ---------------------------------------------------------------------------------------------------


def _worker(celery: "Celery", app: str) -> Finding:
    """Asked on a thread that may be left behind: a broker's client has no deadline that always holds."""
    answers: list[dict[str, Any] | Exception] = []
    thread = threading.Thread(target=lambda: answers.append(_queues(celery)), daemon=True)
    thread.start()
    thread.join(BROKER_SECONDS)
    queues = answers[0] if answers else TimeoutError("no answer")
    if isinstance(queues, Exception):
        said = f"The broker of {app} cannot be reached: {queues}"
        fix = f"Start it, or point the broker_url of {app} (CELERY_BROKER_URL) at where it runs."
        return Finding("broker", "fault", said, fix)
    if not queues:
        said = f"No worker of {app} answers: tasks stay queued."
        return Finding("worker", "fault", said, f"celery -A {app} worker")
    said = f"{', '.join(sorted(queues))} listen{'s' if len(queues) == 1 else ''}."
    default = celery.conf.task_default_queue
    if default in {queue["name"] for each in queues.values() for queue in each or ()}:
        return Finding("worker", "ok", said)
    said += f" But not to the queue {default!r}, where tasks go that are not routed elsewhere."
    return Finding("worker", "warning", said, f"celery -A {app} worker -Q {default}")


def _lease(trial: Trial, app: str) -> Finding:
    """Whether what listens reports, and to this Redis."""
    try:
        if anybody(trial.journal):
            return Finding("lease", "ok", "A worker reports to this Redis.")
        said = "Workers listen, but none reports to this Redis: nobody is told what they do."
    except JournalUnavailable as error:
        said = f"Whether a worker reports to this Redis cannot be told: {error}"
    fix = (
        f"Call headway.celery.install() for {app}, mark a task with @staged, and set HEADWAY_REDIS_URL to this Redis "
        "where the worker runs; its log says if that is missing."
    )
    return Finding("lease", "warning", said, fix)


def _queues(celery: "Celery") -> dict[str, Any] | Exception:
    """What each worker takes tasks from."""
    try:
        with celery.connection_for_write() as broker:
            broker.ensure_connection(max_retries=0, reraise_as_library_errors=False)
            for seconds, most in ((FIRST_SECONDS, None), (MORE_SECONDS, 1)):
                asked = celery.control.inspect(timeout=seconds, limit=most, connection=broker)
                if queues := asked.active_queues():
                    return dict(queues)
    except Exception as error:  # of whichever library speaks to this broker
        return error
    return {}


# -- saying it -------------------------------------------------------------------------------------------------


def _say(finding: Finding, as_json: bool) -> None:
    if as_json:
        click.echo(as_line(finding))
        return
    colours = False if os.environ.get("NO_COLOR") else None  # None: if it is a terminal
    verdict = click.style(f"{finding.verdict:<7}", fg=COLOURS[finding.verdict])
    click.echo(f"{verdict}  {finding.check:<13}  {plain(finding.said)}", color=colours)
    if finding.fix:
        click.echo(f"{'':<7}  {'fix':<13}  {plain(finding.fix)}")


def _summary(findings: list[Finding]) -> str:
    verdicts = [finding.verdict for finding in findings]
    counts = [(verdicts.count("fault"), "fault"), (verdicts.count("warning"), "warning")]
    said = [f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count]
    return f"{', '.join(said)}." if said else "Nothing is wrong."


def _exit_code(findings: list[Finding]) -> int:
    faults = {finding.check for finding in findings if finding.verdict == "fault"}
    if not faults:
        return 0
    return UNREACHABLE if faults & AWAY else FAULTY
