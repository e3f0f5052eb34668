"""`headway`: tasks in a terminal. What is shown is `screen.py`'s; here are options, sources and exit codes."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import click

from headway import client, direct, screen
from headway.blocks import block
from headway.direct import DirectWatch, Everything
from headway.doctor import doctor
from headway.errors import ConfigurationError, HeadwayError
from headway.events import ENDED, State
from headway.journal import Journal
from headway.plain import as_line, plain
from headway.viewer import LinkState, Refused

FAILED, NOT_FOUND, UNREACHABLE = 1, 3, 4  # 2 is click's, for wrong usage
TIMED_OUT, INTERRUPTED, ENDED_BY_PIPE = 124, 130, 141  # as shells number them
DRAW_SECONDS = 0.25  # between two looks at a list

EXIT_CODES = """\b
Exit codes:
  0    every task succeeded
  1    a task failed, was cancelled or expired
  2    wrong usage
  3    there is no such task
  4    the site or Redis cannot be reached, or does not let you in
  124  not over within --timeout
  130  Ctrl-C"""


class Program(click.Group):
    """Turns what can be expected to go wrong into a line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a terminal that has no such letter
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:  # nobody reads any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(ENDED_BY_PIPE)
        except ConfigurationError as error:
            raise click.UsageError(plain(error)) from error
        except (HeadwayError, TimeoutError) as error:
            click.echo(f"headway: {plain(error)}", err=True)
            ctx.exit(_code_of(error))


def _code_of(error: Exception) -> int:
    if isinstance(error, TimeoutError):
        return TIMED_OUT
    return NOT_FOUND if isinstance(error, Refused) and error.status == 404 else UNREACHABLE


@click.group(cls=Program, epilog="`headway COMMAND --help` ends with examples.")
@click.version_option(package_name="headway")
def headway() -> None:
    """Live progress of Celery tasks, in the terminal.

    Tasks are watched through the site (--url, or HEADWAY_URL), or straight from Redis (--redis, or
    HEADWAY_REDIS_URL).
    """


def _examples(*lines: str) -> str:
    return "\n  ".join(("\b\nExamples:", *lines))


def _from_redis(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--redis", metavar="URL", help="Straight from this Redis. [HEADWAY_REDIS_URL]"
    )(command)


def _from_anywhere(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--token", envvar="HEADWAY_TOKEN", help="Bearer token. [HEADWAY_TOKEN]"),
        click.option(
            "--url", metavar="URL", help="The site, e.g. http://127.0.0.1:8000. [HEADWAY_URL]"
        ),
    ):
        command = option(command)
    return _from_redis(command)


def _where(url: str | None, redis: str | None) -> tuple[str | None, str | None]:
    """The site or the Redis: what was said here goes before the environment, and there the site before Redis."""
    if url and redis:
        raise click.UsageError("Either --url or --redis: a task is watched one way.")
    if not (url or redis):
        url = os.environ.get("HEADWAY_URL")
        redis = None if url else os.environ.get("HEADWAY_REDIS_URL")
    if not (url or redis):
        raise click.UsageError(
            "Say where: --url http://127.0.0.1:8000 or --redis redis://localhost:6379/0 "
            "(or set HEADWAY_URL or HEADWAY_REDIS_URL)."
        )
    return url, None if redis is None else _checked(redis)


def _redis(said: str | None) -> str:
    found = said or os.environ.get("HEADWAY_REDIS_URL")
    if not found:
        raise click.UsageError(
            "Say where Redis is: --redis redis://localhost:6379/0 (or set HEADWAY_REDIS_URL)."
        )
    return _checked(found)


def _checked(redis: str) -> str:
    try:
        Journal(redis, connections=1)  # it does not connect yet
    except ValueError as error:
        raise click.UsageError(
            "--redis (HEADWAY_REDIS_URL) is no address of a Redis, such as redis://localhost:6379/0."
        ) from error
    return redis


# -- commands ------------------------------------------------------------------------------------------------


@headway.command(
    epilog=_examples(
        'headway watch --url http://127.0.0.1:8000 "$TASK"',
        'headway watch --redis redis://localhost:6379/0 "$TASK" "$OTHER"',
        'headway watch "$TASK" --timeout 60 && echo succeeded',
        'headway watch "$TASK" --json | jq -r \'select(.type == "emitted").data\'',
    )
    + "\n\n"
    + EXIT_CODES
)
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@_from_anywhere
@click.option("--json", "as_json", is_flag=True, help="One event per line, as JSON.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds, for all of it.")
def watch(
    tasks: tuple[str, ...],
    url: str | None,
    redis: str | None,
    token: str | None,
    as_json: bool,
    timeout: float | None,
) -> None:
    """Watch tasks until all of them have ended.

    On a terminal each task is a block with its stages; into a pipe or a file it is a line per transition.
    """
    url, redis = _where(url, redis)

    def linked(link: LinkState) -> None:
        display.linked(link)

    watching: client.Watch | DirectWatch
    if redis:
        watching = DirectWatch(redis, *tasks, timeout=timeout, on_link=linked)
    else:
        watching = client.watch(
            *tasks, base_url=url, token=token, timeout=timeout, tries=1, on_link=linked
        )
    display = _display(watching, as_json)
    with display, suppress(Refused):  # said below, task by task
        for told in watching.events():
            display.tell(told, watching.states)
    for task, why in watching.refused.items():
        click.echo(f"headway: {plain(task)}: {plain(why)}", err=True)
    sys.exit(_outcome(watching.states, watching.refused))


def _display(watching: screen.Watching, as_json: bool) -> screen.Display:
    if as_json:
        return screen.Json()
    return screen.Blocks(watching) if screen.is_live() else screen.Lines()


def _outcome(states: Mapping[str, State], refused: Mapping[str, Refused]) -> int:
    if any(state.status in ENDED - {"succeeded"} for state in states.values()):
        return FAILED
    return max(map(_code_of, refused.values()), default=0)


@headway.command(
    epilog=_examples(
        'headway get --url http://127.0.0.1:8000 "$TASK"',
        'headway get "$TASK" --json | jq .progress',
    )
)
@click.argument("task")
@_from_anywhere
@click.option("--json", "as_json", is_flag=True, help="The whole state, as JSON.")
def get(task: str, url: str | None, redis: str | None, token: str | None, as_json: bool) -> None:
    """The state of a task, now."""
    url, redis = _where(url, redis)
    state = direct.get(redis, task) if redis else client.get(task, base_url=url, token=token)
    if as_json:
        click.echo(as_line(state))
    else:
        screen.show(block(state, time.time(), screen.console().width))


@headway.command(
    epilog=_examples(
        "headway ls --redis redis://localhost:6379/0",
        "headway ls --json | jq -r 'select(.status == \"running\").task'",
    )
)
@_from_redis
@click.option("--json", "as_json", is_flag=True, help="One state per line, as JSON.")
def ls(redis: str | None, as_json: bool) -> None:
    """All tasks.

    On a terminal a list that lives until Ctrl-C; into a pipe or a file what there is now.
    """
    everything = Everything(_redis(redis))
    listing = screen.Listing(lambda: everything.states, lambda: everything.live)
    if as_json or not screen.is_live():
        everything.look()
        if as_json:
            for state in everything.states.values():
                click.echo(as_line(state))
        else:
            screen.show(listing.lines(sys.maxsize, sys.maxsize))
        return
    with screen.drawing(listing):
        for _ in everything.events(DRAW_SECONDS):
            pass


@headway.command(
    epilog=_examples(
        "headway tail --redis redis://localhost:6379/0",
        "headway tail --json | jq -r 'select(.type == \"finished\") | [.task, .status] | @tsv'",
    )
)
@_from_redis
@click.option("--json", "as_json", is_flag=True, help="One event per line, as JSON.")
def tail(redis: str | None, as_json: bool) -> None:
    """All events of all tasks, from now on.

    Until Ctrl-C. What is said while Redis is away is told when it is back.
    """
    everything = Everything(_redis(redis))
    display = screen.Json() if as_json else screen.Lines()
    live = True
    for told in everything.events():
        if everything.live != live:
            live = everything.live
            click.echo(
                f"headway: {'Live again.' if live else 'Redis does not answer; waiting.'}", err=True
            )
        if told:
            display.tell(told, everything.states)


headway.add_command(doctor)
