"""A real RabbitMQ for tests."""

import os

from amqp import Connection
from amqp.exceptions import AMQPError

from tests.processes import HOST, Process, free_port


class RabbitServer(Process):
    """A private RabbitMQ. It comes back on the same port, with the queues and messages it had.

    `program` is RabbitMQ's own script: Debian's wrapper in /usr/sbin changes the user. Erlang's port mapper
    is started beside it, because the one that Erlang would start leaves the process group.
    """

    name = "rabbit"

    def __init__(self, program: str) -> None:
        self.port = free_port()
        self.url = f"amqp://guest:guest@{HOST}:{self.port}//"
        super().__init__(["sh", "-c", 'epmd & exec "$0"', program])
        self.env = {
            "HOME": str(self.folder),  # it keeps its cookie there
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_NODENAME": f"headway-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false +S 2:2 +sbwt none",
        }

    def ready(self, log: str) -> bool:
        try:
            with Connection(f"{HOST}:{self.port}", connect_timeout=1):
                return True
        except (OSError, AMQPError):
            return False
