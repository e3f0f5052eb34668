"""Runs spin over `stream.pml`: as the hub is, with one rule broken at a time, and with what must be possible denied."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MODEL = Path(__file__).parent / "stream.pml"
_MOVES = re.compile(r"^(?:producer|Redis|hub|viewer): ", re.MULTILINE)  # what the model tells
MOST_STEPS = 10_000  # of one run; longer, and the search says that it is not complete
LIMIT = 300.0  # seconds for one search


class Variant(NamedTuple):
    """What happens in a run, and by which rules: names that `stream.pml` knows."""

    name: str
    rules: str
    search: str = "SAFETY"  # BFS finds the shortest counterexample, NP what could go on for ever


AS_IT_IS = (
    Variant("viewers come and go", "EVENTS=4 BREAKS=1 LOSSES=1 LEAVES=1"),
    Variant("and the log is trimmed", "EVENTS=4 KEPT=2 BREAKS=1 LOSSES=1 LEAVES=1"),
    Variant("failover, viewer returns", "FAILOVERS=1 DEATHS=1 LEAVES=1"),
    Variant("failover, subscription breaks", "FAILOVERS=1 DEATHS=1 BREAKS=1"),
    Variant("failover, message lost", "FAILOVERS=1 DEATHS=1 LOSSES=1"),
    Variant("failover of a trimmed log", "EVENTS=4 KEPT=2 FAILOVERS=1 DEATHS=1"),
    Variant("two failovers", "FAILOVERS=2 LEAVES=1"),
    # The viewer stays: if a topic is dropped before its acknowledgement has come, the audit is needed.
    Variant("no audit, all losses heard of", "EVENTS=4 BREAKS=2 NO_AUDIT"),
    Variant("nothing goes on for ever", "EVENTS=2 FAILOVERS=1 DEATHS=1 LEAVES=1", "NP"),
)
EVERYTHING = Variant("everything at once", "FAILOVERS=1 DEATHS=1 BREAKS=1 LOSSES=1 LEAVES=1")

# One rule less each, and the least that must happen for it to be missed.
BROKEN = (
    Variant("no audit", "LOSSES=1 NO_AUDIT", "BFS"),
    Variant("read before the acknowledgement", "NO_AUDIT UNACKNOWLEDGED", "BFS"),
    Variant("no refill on reconnect", "BREAKS=1 NO_AUDIT NO_REFILL", "BFS"),
    Variant("what is heard is believed", "LOSSES=1 BLIND", "BFS"),
    Variant("seq + 1 is believed", "FAILOVERS=1 DEATHS=1 SEQ_PLUS_ONE", "BFS"),
    Variant("a cursor without its history", "FAILOVERS=1 DEATHS=1 TRUST_CURSOR", "BFS"),
    Variant("a fork is not announced", "FAILOVERS=1 DEATHS=1 UNANNOUNCED", "BFS"),
    Variant("no wait for what is lost", "FAILOVERS=1 NO_WAIT", "BFS"),
    Variant("an endless wait", "FAILOVERS=1 DEATHS=1 ENDLESS_WAIT", "BFS"),
    Variant("one wait for two losses", "FAILOVERS=2 LEAVES=1 STALE_WAIT"),
)

# Each denies that something ever happens: a model in which nothing happens would have no errors either.
ALIVE = (
    Variant("a replay from the log", "LEAVES=1 REACH_REPLAY", "BFS"),
    Variant("a fork", "FAILOVERS=1 DEATHS=1 REACH_FORK", "BFS"),
    Variant("a loss made good", "FAILOVERS=1 REACH_RESENT", "BFS"),
    Variant("a viewer ahead of the log", "FAILOVERS=1 LEAVES=1 REACH_AHEAD", "BFS"),
)


class Result(NamedTuple):
    states: int
    moves: int | None  # of the counterexample; None: there is none, and every state was looked at
    trail: str  # the counterexample as spin prints it


def check(variant: Variant, spin: str, compiler: str) -> Result:
    """Search all that can happen, or as far as to the first error. Raises when the search was not complete."""
    rules = [f"-D{rule}" for rule in variant.rules.split()]
    with tempfile.TemporaryDirectory() as folder:

        def run(*command: str) -> str:
            return _run(command, folder)

        said = run(spin, "-a", *rules, str(MODEL))
        if "Error:" in said:
            raise RuntimeError(said)
        run(compiler, "-w", "-DVECTORSZ=256", f"-D{variant.search}", "-o", "pan", "pan.c")
        search = ["-l"] if variant.search == "NP" else []
        said = run("./pan", f"-m{MOST_STEPS}", "-w20", *search)
        states = re.search(r"(\d+) states, stored", said)
        errors = re.search(r"errors: (\d+)", said)
        if states is None or errors is None or "error: max search depth" in said:
            raise RuntimeError(f"The search was not complete:\n{said}")
        if errors[1] == "0":
            return Result(int(states[1]), None, "")
        (found,) = Path(folder).glob("*.trail")
        trail = run(spin, "-T", "-k", found.name, *rules, str(MODEL))
        return Result(int(states[1]), len(_MOVES.findall(trail)), trail)


def _run(command: Sequence[str], folder: str) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    if done.stderr:  # a status means nothing: theirs are not 0 either when they have found an error
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout
