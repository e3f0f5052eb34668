"""The rules by which a viewer is served, model-checked: none of them is wrong, and none of them is too many."""

import pytest

from tests.conftest import require
from tests.model.spin import ALIVE, AS_IT_IS, BROKEN, Variant, check


def each(variants: tuple[Variant, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("variant", variants, ids=[each.name for each in variants])


@each(AS_IT_IS)
def test_no_order_of_events_misleads_a_viewer(variant: Variant) -> None:
    result = check(variant, require("spin"), require("gcc"))
    assert result.moves is None, result.trail


@each(BROKEN)
def test_without_this_rule_some_order_would(variant: Variant) -> None:
    assert check(variant, require("spin"), require("gcc")).moves


@each(ALIVE)
def test_the_model_is_alive(variant: Variant) -> None:
    assert check(variant, require("spin"), require("gcc")).moves
