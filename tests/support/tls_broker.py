"""A private RabbitMQ that speaks TLS only with clients that show a certificate it trusts."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

from dev.broker import Node, private_node
from dev.processes import LOOPBACK, free_ports
from tests.support.certificates import Authority, authority

HOST = "127.0.0.1"


class TLSBroker:
    """The node's listener. `ca` has signed its certificate, and those it asks for."""

    def __init__(self, node: Node, port: int, ca: Authority, folder: Path) -> None:
        self.node = node
        self.port = port
        self.ca = ca
        self._folder = folder
        self.client = ca.issue(folder / "client.pem", "client.example")

    def url(self, login: str, password: str, **options: object) -> str:
        """Return a URL with these options, and without others."""
        query = urlencode(options)
        return f"amqps://{login}:{quote(password, safe='')}@{HOST}:{self.port}/?{query}"

    def good_url(self, login: str, password: str, **options: object) -> str:
        """Return a URL that trusts the authority and shows the client's certificate."""
        known = {"cacertfile": self.ca.cafile, "certfile": self.client}
        return self.url(login, password, **(known | options))

    def define(self, definitions: Mapping[str, object]) -> None:
        """Import definitions, as an operator does."""
        file = self._folder / "definitions.json"
        file.write_text(json.dumps(definitions))
        file.chmod(0o644)
        self.node.control("import_definitions", str(file))

    def show(self, *names: str, expired: bool = False) -> None:
        """Have it show another certificate from now on."""
        write_server(self.ca, self._folder, *names, expired=expired)
        self.node.control("eval", "ssl:clear_pem_cache().")


def write_server(ca: Authority, folder: Path, *names: str, expired: bool = False) -> None:
    """Write the broker's certificate, which its account must be able to read."""
    ca.issue(folder / "server.pem", *(names or (HOST,)), expired=expired).chmod(0o644)


@contextmanager
def tls_broker() -> Iterator[TLSBroker]:
    """Run one for the length of a block."""
    # The broker's account may look neither into pytest's folders nor into root's own.
    folder = Path(tempfile.mkdtemp(prefix="hopmail-tls-", dir="/tmp"))
    folder.chmod(0o755)
    (port,) = free_ports(1)
    try:
        with authority() as ca:
            write_server(ca, folder)
            shutil.copy(ca.cafile, folder / "ca.pem")
            settings = {
                "listeners.ssl.default": f"{LOOPBACK}:{port}",
                "ssl_options.cacertfile": folder / "ca.pem",
                "ssl_options.certfile": folder / "server.pem",
                "ssl_options.keyfile": folder / "server.pem",
                "ssl_options.verify": "verify_peer",
                "ssl_options.fail_if_no_peer_cert": "true",
            }
            with private_node(settings=settings) as node:
                yield TLSBroker(node, port, ca, folder)
    finally:
        shutil.rmtree(folder)
