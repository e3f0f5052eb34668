"""Faults in any order and company: what no row thinks of alone."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import redis

from headway.errors import JournalUnavailable
from tests.chaos.play import Play
from tests.chaos.row import KEEPS_ALL, Row


def mixed(rows: Sequence[Row]) -> Row:
    """Those that mix: one after another, or one while another is on."""
    alone = [row for row in rows if row.mixes]
    beside = [row for row in alone if row.quick]

    def strike(play: Play) -> None:
        """faults of other rows in random order, some while another is on"""
        with ThreadPoolExecutor(2) as executor:
            for _ in range(2 * play.size.strikes):
                chosen = [play.rng.choice(alone)]
                if play.rng.random() < 0.4:
                    others = [row for row in beside if row is not chosen[0]]
                    chosen.append(play.rng.choice(others))
                for done in [executor.submit(_strike, row, play) for row in chosen]:
                    done.result()
                play.pause(play.rng.uniform(0.0, 0.5))

    return Row("mixed", strike, redis=KEEPS_ALL)


def _strike(row: Row, play: Play) -> None:
    # Another one may have killed what this one would hurt.
    with suppress(redis.RedisError, JournalUnavailable, ProcessLookupError):
        row.strike(play)
