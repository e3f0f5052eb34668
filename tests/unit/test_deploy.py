"""The files that say what runs where agree with one another."""

from pathlib import Path

import pytest

from deploy.demo import procfile, without_password

ROOT = Path(__file__).parents[2]
COMMANDS = procfile((ROOT / "Procfile").read_text())


def test_a_procfile_is_read_like_foreman_reads_it():
    text = "# a comment: with a colon\n\nweb: serve --port ${PORT:-80}\nworker:work\n"
    assert procfile(text) == {"web": "serve --port ${PORT:-80}", "worker": "work"}


@pytest.mark.parametrize("name", COMMANDS)
def test_compose_runs_the_commands_of_the_procfile(name):
    compose = (ROOT / "docker-compose.yml").read_text()
    # Compose itself would replace a single $.
    assert f'"exec {COMMANDS[name].replace("$", "$$")}"]' in compose


def test_the_image_serves_the_page_unless_told_otherwise():
    assert f'CMD ["sh", "-c", "exec {COMMANDS["web"]}"]' in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("rediss://user:secret@redis.example:6380/1", "rediss://redis.example:6380/1"),
        ("redis://:secret@redis.example", "redis://redis.example"),
        ("redis://redis.example?password=secret", "redis://redis.example"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock"),
    ],
)
def test_the_demo_prints_where_redis_is_but_no_password(url, shown):
    assert without_password(url) == shown
