"""Imports point one way, and each third party has one door."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

#: What of the package each module may import; `__init__` is the package itself.
ARROWS = {
    "errors": "",
    "lines": "errors",
    "greenlets": "",
    "sampler": "",
    "signals": "",
    "sse": "",
    "events": "",
    "schema": "events",
    "usual": "events",
    "values": "errors events",
    "attempts": "errors events sampler signals usual values",
    "stages": "attempts values",
    "__init__": "errors signals stages",
    "testing": "attempts errors events signals stages values",
    "keys": "events",
    "fields": "events",
    "feed": "errors events keys",
    "pools": "",
    "journal": "errors events feed fields keys pools usual",
    "settings": "errors journal",
    "backlog": "events fields journal",
    "publisher": "backlog errors events greenlets journal usual",
    "accounts": "events",
    "monitors": "accounts events",
    "messages": "stages values",
    "lifecycle": (
        "attempts errors events journal leases messages monitors publisher settings signals stages values"
    ),
    "celery": "errors lifecycle settings",
    "board": "accounts events",
    "flower_pages": "accounts board",
    "flower": "flower_pages",
    "leases": "backlog errors events greenlets journal keys",
    "queues": "events journal keys",
    "topics": "events feed journal keys leases sse values",
    "lookout": "events journal leases queues topics",
    "hub": "errors events feed journal keys leases lookout topics",
    "seats": "events hub journal keys sse topics",
    "streams": "errors events hub seats settings sse topics",
    "audiences": "streams",
    "writer": "audiences sse streams topics",
    "gunicorn": "audiences streams writer",
    "words": "events",
    "plain": "events",
    "told": "events keys sse",
    "viewer": "errors events keys sse told",
    "client": "errors events lines told viewer",
    "direct": "errors events feed hub journal keys settings streams told viewer",
    "blocks": "events plain viewer words",
    "screen": "blocks events plain told viewer words",
    "cli": "blocks client direct doctor errors events journal plain screen viewer",
    "__main__": "cli",
    "checkup": "backlog errors events feed journal",
    "probe": "checkup sse told",
    "passage": "checkup errors events probe told",
    "doctor": "checkup client errors events leases passage plain settings",
    "flask": "errors events greenlets gunicorn hub journal seats settings sse streams",
}

#: The module (or modules, of one thing) that may import each of these.
DOORS = {
    "redis": "feed journal pools",
    "hiredis": "feed",
    "blinker": "flask",
    "flask": "flask",
    "werkzeug": "flask",
    "gevent": "gunicorn",
    "gunicorn": "gunicorn",
    "flower": "flower_pages",
    "tornado": "flower_pages",
    "click": "cli doctor",
    "rich": "blocks screen",
    "urllib3": "lines",
}

#: These are on a worker's side; nothing a web process is made of knows Celery by name.
CELERY = {
    "attempts",
    "celery",
    "doctor",
    "flower_pages",
    "lifecycle",
    "monitors",
    "signals",
    "stages",
    "testing",
    "values",
}

ANYWHERE = {"msgspec"}


class Import(NamedTuple):
    module: str  # that imports
    name: str  # of what it imports, in full
    where: str


def imports_of(folder: str) -> Iterator[Import]:
    for path in sorted(ROOT.joinpath(folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from (Import(path.stem, alias.name, where) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{where}: name the package, relative imports hide it"
                yield from (
                    Import(path.stem, f"{node.module}.{alias.name}", where) for alias in node.names
                )


def inside(name: str) -> str | None:
    """The module of the package that is meant; None for what is not of the package."""
    top, *rest = name.split(".")
    if top != "headway":
        return None
    return rest[0] if rest and rest[0] in ARROWS else "__init__"


OURS = list(imports_of("headway"))


def test_every_module_has_its_arrows() -> None:
    modules = {path.stem for path in ROOT.joinpath("headway").glob("*.py")}
    assert modules == ARROWS.keys(), "Say in ARROWS what a new module may import."


def test_no_module_imports_against_the_arrows() -> None:
    wrong = [
        f"{found.where}: {found.module} may import {ARROWS[found.module] or 'nothing of ours'}, not {to}"
        for found in OURS
        if (to := inside(found.name)) and to not in ARROWS[found.module].split()
    ]
    assert not wrong, "\n".join(wrong)


def test_the_arrows_lead_round_no_circle() -> None:
    graph = {module: set(may.split()) for module, may in ARROWS.items()}
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("events") < order.index("stages") < order.index("celery")
    assert order.index("journal") < order.index("hub") < order.index("streams")
    assert order.index("streams") < order.index("flask")


def test_each_third_party_has_one_door() -> None:
    wrong = []
    for found in OURS:
        top = found.name.split(".")[0]
        if top == "celery":
            if found.module not in CELERY:
                wrong.append(f"{found.where}: {found.module} is not to know Celery")
        elif top not in {"headway", *ANYWHERE} | sys.stdlib_module_names and (
            found.module not in DOORS.get(top, "").split()
        ):
            wrong.append(f"{found.where}: {top} comes in through {DOORS.get(top, 'no module')}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("third", DOORS)
def test_every_door_is_in_use(third: str) -> None:
    users = {found.module for found in OURS if found.name.split(".")[0] == third}
    assert set(DOORS[third].split()) == users


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("headway", "redis flask werkzeug gevent gunicorn"),
        ("headway.testing", "redis flask werkzeug gevent gunicorn"),
        ("headway.events", "redis flask werkzeug gevent gunicorn"),
        ("headway.celery", "flask werkzeug gevent gunicorn"),
        ("headway.streams", "flask werkzeug gevent gunicorn"),
        ("headway.flask", "gevent gunicorn"),
        ("headway.client", "redis flask werkzeug gevent gunicorn rich"),
    ],
)
def test_importing_a_part_loads_nothing_it_can_do_without(module: str, without: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert set(without.split()).isdisjoint(done.stdout.split())


@pytest.mark.parametrize(("one", "other"), [("app", "workers"), ("workers", "app")])
def test_the_site_and_the_workers_know_each_other_by_name_only(one: str, other: str) -> None:
    wrong = [found.where for found in imports_of(one) if found.name.split(".")[0] == other]
    assert not wrong, "\n".join(wrong)
