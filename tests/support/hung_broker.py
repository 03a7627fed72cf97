"""Addresses where a broker hangs: connections are accepted by the kernel, and nobody answers."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit


@contextmanager
def hung(url: str, count: int = 1) -> Iterator[str]:
    """Return the URL with so many such addresses before its own, for the length of a block."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        ports = [listener.getsockname()[1] for listener in listeners]
        urls = [f"{parts.scheme}://{login}@127.0.0.1:{port}{parts.path}" for port in ports]
        yield ",".join((*urls, url))
