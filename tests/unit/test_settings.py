"""Where settings come from, and that each is documented."""

import re
from typing import Any

import pytest
from flask import Flask

from headway.errors import ConfigurationError
from headway.flask import Headway
from headway.settings import TaskSettings, WebSettings, load
from tests.processes import ROOT

REDIS = "redis://localhost:6379/3"


def test_an_argument_goes_before_configuration_and_that_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADWAY_IDLE", "30")
    monkeypatch.setenv("HEADWAY_LIFETIME", "40")
    monkeypatch.setenv("HEADWAY_HEARTBEAT", "50")
    found = load(WebSettings, {"idle": 10}, {"idle": 20, "lifetime": 21}, broker=REDIS)
    assert (found.idle, found.lifetime, found.heartbeat) == (10, 21, 50)
    assert found.write_deadline == WebSettings().write_deadline


def test_without_a_url_of_its_own_it_takes_the_brokers_if_that_is_a_redis() -> None:
    assert load(WebSettings, {}, broker=REDIS).redis_url == REDIS
    assert load(WebSettings, {"redis_url": "unix:///r"}, broker=REDIS).redis_url == "unix:///r"


@pytest.mark.parametrize("broker", ["amqp://localhost", "", None])
def test_with_no_redis_at_all_the_error_says_what_to_set(broker: Any) -> None:
    with pytest.raises(ConfigurationError, match="Set HEADWAY_REDIS_URL"):
        load(WebSettings, {}, broker=broker)


def test_names_in_the_environment_have_commas_between_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADWAY_TASKS", "reports.*, imports.nightly")
    found = load(TaskSettings, {}, broker=REDIS)
    assert found.tasks == ("reports.*", "imports.nightly")


def test_a_setting_of_the_wrong_kind_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"heartbeat"):
        load(WebSettings, {"heartbeat": "often"}, broker=REDIS)


@pytest.mark.parametrize("kind", [TaskSettings, WebSettings])
def test_every_setting_is_documented(kind: type) -> None:
    documented = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/settings.md").read_text(), re.M)
    assert set(kind.__struct_fields__) <= set(documented)


def test_one_process_may_hold_several_apps_with_settings_of_their_own() -> None:
    one, other = Flask("one"), Flask("other")
    one.config["HEADWAY_IDLE"] = 7
    headway = Headway(redis_url=REDIS, allow_anonymous=True)
    headway.init_app(one)
    headway.init_app(other)
    assert one.extensions["headway"].settings.idle == 7
    assert other.extensions["headway"].settings.idle == 300
