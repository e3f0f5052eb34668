"""The site without a broker: what it sends is kept in a list."""

from types import SimpleNamespace

import pytest

from app import create_app, tasks


@pytest.fixture
def shared_folder(monkeypatch, tmp_path):
    """The folder that is shared with the workers."""
    monkeypatch.setenv("HEADWAY_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def client(shared_folder):
    return create_app().test_client()


@pytest.fixture
def sent(monkeypatch):
    """What was sent, as (name, kwargs, headers)."""
    messages = []

    def send_task(name, kwargs, headers):
        messages.append((name, kwargs, headers))
        return SimpleNamespace(id="some-id")

    monkeypatch.setattr(tasks.celery, "send_task", send_task)
    return messages
