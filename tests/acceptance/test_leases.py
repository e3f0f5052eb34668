"""The lease of a real worker, from its start to its end."""

import pytest

from tests.acceptance.outcomes import JOBS, POOLS
from tests.processes import RedisServer, Worker, wait_until

LEASES = "headway:b:*:lease"


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_has_a_lease_from_its_start_and_gives_it_back(
    redis_server: RedisServer, redis_url: str, pool: str
) -> None:
    env = {"HEADWAY_REDIS_URL": redis_url, "PYTHONOPTIMIZE": "1"}  # asserts are no statements there
    with Worker(pool, redis_url, app=JOBS, env=env) as worker:
        wait_until(lambda: redis_server.cli("KEYS", LEASES), what="the lease")
        worker.stop()
        assert not redis_server.cli("KEYS", LEASES)
