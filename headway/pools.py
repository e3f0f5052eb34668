"""Connections to whatever a URL names: one Redis, or whichever Sentinel says is the master now."""

from typing import Any, cast
from urllib.parse import urlsplit

import redis
from redis import sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

SENTINEL = "redis+sentinel"
SENTINEL_PORT = 26379
CONNECT_TIMEOUT = 2.0  # seconds to reach Redis at all, off anybody's thread

_untyped: Any = redis  # half of it has no types

# Two round trips less per connection. redis-py before 7.2 has other words for it.
_ANONYMOUS: dict[str, Any] = (
    {"driver_info": None}
    if hasattr(redis, "DriverInfo")
    else {"lib_name": None, "lib_version": None}
)


class Pool(redis.BlockingConnectionPool):
    """Whoever finds none free waits for one."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Of all, or of the idle ones alone: redis-py before 7.0 cannot do that, and its Sentinel asks for it."""
        if inuse_connections:
            super().disconnect()
        else:
            for connection in filter(None, list(self.pool.queue)):
                connection.disconnect()


def connect(url: str, *, connections: int, timeout: float) -> Pool:
    """A pool that connects when it is first used, gives up after `timeout` seconds, and retries nothing.

    Raises ValueError for what is no URL of a Redis.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": min(timeout, CONNECT_TIMEOUT),
        "retry": Retry(NoBackoff(), 0),  # ours are the only retries: a caller's time is promised
        "protocol": 2,
    }
    scheme = urlsplit(url).scheme
    # Over TLS something must be said first: while a server's session tickets lie unread, redis-py takes the connection
    # for one that is not ready.
    if scheme != "rediss":
        options |= _ANONYMOUS
    bounds: dict[str, Any] = {"max_connections": connections, "timeout": timeout * 4}
    if scheme == SENTINEL:
        return _guarded(url, options, bounds)
    return Pool.from_url(url, **options, **bounds)


def _guarded(url: str, options: dict[str, Any], bounds: dict[str, Any]) -> Pool:
    """redis+sentinel://<user>:<password>@<host>:<port>,<host>:<port>/<master>/<database>?<options>"""
    parts = urlsplit(url)
    who, at, hosts = parts.netloc.rpartition("@")
    master, _, database = parts.path.strip("/").partition("/")
    if not (hosts and master):
        raise ValueError(
            "It is redis+sentinel://<host>:<port>,<host>:<port>/<name of the master>/0."
        )
    said: dict[str, Any] = _untyped.connection.parse_url(
        f"redis://{who}{at}_/{database}?{parts.query}"
    )
    del said["host"]
    login = {name: said.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    sentinels = [_address(host) for host in hosts.split(",")]
    pool: Pool = cast(Any, Pool)(
        connection_class=sentinel.SentinelManagedConnection, **options | bounds | said
    )
    pool.connection_kwargs["connection_pool"] = _untyped.sentinel.SentinelConnectionPoolProxy(
        connection_pool=pool,
        is_master=True,
        check_connection=False,
        service_name=master,
        sentinel_manager=_untyped.sentinel.Sentinel(sentinels, 0, options | login),
    )
    return pool


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    return parts.hostname or "", parts.port or SENTINEL_PORT
