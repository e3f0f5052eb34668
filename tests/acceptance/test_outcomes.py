"""Every way a task can end, in every pool it can happen in: `python -m tests.acceptance.outcomes` prints them."""

import pytest

from tests.acceptance.outcomes import OUTCOMES, POOLS, Outcome, Played, play_all

ROWS = [(pool, outcome) for outcome in OUTCOMES for pool in outcome.pools]


@pytest.fixture(scope="module")
def played() -> dict[tuple[str, Outcome], Played]:
    return {(pool, outcome): played for pool, outcome, played in play_all(POOLS)}


@pytest.mark.parametrize(("pool", "outcome"), ROWS, ids=lambda part: getattr(part, "name", part))
def test_every_outcome_is_told_as_what_it_is(
    played: dict[tuple[str, Outcome], Played], pool: str, outcome: Outcome
) -> None:
    assert outcome.fits(played[pool, outcome]), played[pool, outcome]
