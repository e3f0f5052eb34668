"""nginx before a site."""

import socket

from tests.conftest import require
from tests.processes import HOST, Process, Web, free_port


class Nginx(Process):
    """A proxy before a site; `lines` stand in its location. With a certificate and its key it speaks TLS and HTTP/2."""

    name = "nginx"

    def __init__(self, site: Web, *lines: str, certificate: tuple[str, str] | None = None) -> None:
        super().__init__([])
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        listen = f"listen {HOST}:{self.port}"
        if certificate:
            self.url = f"https://{HOST}:{self.port}"
            listen += " ssl http2; ssl_certificate {}; ssl_certificate_key {}".format(*certificate)
        paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        folders = "".join(f"{path}_temp_path {self.folder}/{path};" for path in paths)
        here = "".join(f"{line};" for line in (f"proxy_pass {site.url}", *lines))
        server = f"server {{ {listen}; location / {{ {here} }} }}"
        config = self.folder / "nginx.conf"
        config.write_text(
            f"daemon off; pid {self.folder}/pid; error_log stderr; events {{}}"
            f" http {{ access_log off; {folders} {server} }}"
        )
        self.command = [require("nginx"), "-e", "stderr", "-c", str(config)]

    def ready(self, log: str) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0
