"""What a URL says of the connections to it. Nothing connects here."""

import pytest

from headway import pools


@pytest.mark.parametrize("url", ["redis://host/0", "redis+sentinel://one,two/journals/0"])
def test_a_url_has_the_last_word(url: str) -> None:
    pool = pools.connect(f"{url}?socket_timeout=3&max_connections=7", connections=2, timeout=0.25)
    assert pool.connection_kwargs["socket_timeout"] == 3
    assert pool.connection_kwargs["socket_connect_timeout"] == 0.25
    assert pool.max_connections == 7
