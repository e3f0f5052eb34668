"""A thousand viewers on one process."""

from typing import Any

from tests.proc import children, sockets, tcp_connections
from tests.processes import Web
from tests.reporting import Reporter, begin, publishing
from tests.viewers import Crowd


def test_a_thousand_viewers_cost_three_redis_connections_and_lose_nothing(own_redis: Any) -> None:
    journal = own_redis()
    args = ["--worker-connections", "2000"]
    with (
        publishing(journal.url) as publisher,
        Web(journal.url, app="tests.acceptance.watched:app", args=args) as web,
    ):
        attempts = [begin() for _ in range(500)]
        assert publisher.flush(20)
        own = [attempt.execution.task for attempt in attempts]
        crowd = Crowd([f"{web.url}/headway/tasks/{task}/events" for task in own + own[:1] * 500])
        reporter = Reporter(attempts, pause=0.5)
        reporter.start()
        seen: list[tuple[int, int]] = []

        def watched() -> bool:
            """Look at the connections while all are watching, then let the tasks end."""
            if reporter.is_alive() and crowd.counts["snapshot"] == 1000 and reporter.rounds >= 8:
                (server,) = children(web.pid)
                mine = sockets(server) & tcp_connections(journal.port)
                subscribed = sum(
                    " sub=0 " not in line for line in journal.cli("CLIENT", "LIST").splitlines()
                )
                seen.append((len(mine), subscribed))
                reporter.stop()
            return False

        crowd.run(90, until=watched)
        assert seen, f"all 1,000 were never there at once: {crowd.counts}"
        connections, subscribed = seen[0]
        assert connections <= 3
        assert subscribed == 1
        assert crowd.wrong == []
        assert (crowd.counts["204"], crowd.counts["gap"]) == (1000, 0)
        assert crowd.counts["finished"] == 1000


def test_a_herd_that_comes_back_shares_its_reads(own_redis: Any) -> None:
    """After a restart nothing is in memory; 300 viewers of one task return with their cursors."""
    journal = own_redis()
    with (
        publishing(journal.url) as publisher,
        Web(journal.url, app="tests.acceptance.watched:app") as web,
    ):
        attempts = [begin()]
        reporter = Reporter(attempts, pause=0.02)
        reporter.start()
        assert publisher.flush(5)
        task = attempts[0].execution.task
        crowd = Crowd([f"{web.url}/headway/tasks/{task}/events"] * 300)
        crowd.run(30, until=lambda: crowd.counts["events"] > 6000)
        web.kill()
        reporter.stop()
        assert publisher.flush(5)
        web.start()
        before = reads(journal)
        returning = Crowd([], viewers=crowd.viewers)
        returning.run(30)
        assert returning.wrong == []
        assert returning.counts["gap"] == 0
        assert returning.counts["204"] == 300
        assert reads(journal) - before < 100


def reads(server: Any) -> int:
    return int(server.cli("INFO", "commandstats").get("cmdstat_xrange", {}).get("calls", 0))
