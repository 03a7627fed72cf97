"""pika's I/O loop, which can also let go of its connection from outside."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from pika.adapters.select_connection import IOLoop


class Loop(IOLoop):  # type: ignore[misc]  # pika has no types
    """An I/O loop that knows the descriptors of the connections it serves."""

    def __init__(self) -> None:
        self._watched: set[int] = set()
        super().__init__()

    def add_handler(self, fd: int, handler: object, events: int) -> None:
        """Watch a descriptor (pika's interface)."""
        self._watched.add(fd)
        super().add_handler(fd, handler, events)

    def remove_handler(self, fd: int) -> None:
        """Watch it no more (pika's interface)."""
        self._watched.discard(fd)
        super().remove_handler(fd)

    def cut(self) -> None:
        """End the connections as if the network had; pika finds out and cleans up."""
        for descriptor in self._watched:
            with socket.socket(fileno=os.dup(descriptor)) as connection, suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def abandon(self) -> None:
        """Drop what a fork inherited, unknown to the broker and to the process that owns it.

        Each descriptor is put in the place of the connection's, not closed: pika's objects keep
        its number and might close it again, when it would be another's.
        """
        with Path(os.devnull).open("rb") as nothing:
            for descriptor in self._watched:
                os.dup2(nothing.fileno(), descriptor)
