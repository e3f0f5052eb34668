"""Redis, a worker and two sites, for tests that are not in Python: `python -m tests.js.stack`.

Says in a line of JSON where they are, then does what each line of its input says, and answers it. Ends with its input.
"""

import json
import sys

from tests.processes import RedisServer, Web, Worker


def main() -> None:
    with (
        RedisServer() as redis,
        Worker("threads", redis.url),
        Web(redis.url) as web,
        Web(redis.url, app="tests.acceptance.own_routes:app") as own,
    ):
        verbs = {
            "kill": web.kill,
            "start": web.start,
            "stop redis": redis.kill,
            "start redis": redis.start,
        }
        say({"web": web.url, "own": own.url})
        for line in sys.stdin:
            verbs[line.strip()]()
            say({"done": line.strip()})


def say(value: object) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
