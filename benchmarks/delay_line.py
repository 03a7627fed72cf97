"""A relay far away: each reply comes late by a fixed time, however many are under way.

`python -m benchmarks.delay_line PORT SECONDS` forwards to a port of this machine, prints its own,
and serves until it is ended. smtp-sink's own delays are whole seconds, and one for each command
even of a pipelined group; a distance is one for each round trip.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.processes import server
from dev.processes import LOOPBACK


@contextmanager
def delay_line(port: int, seconds: float) -> Iterator[int]:
    """Run it for the length of a block, and yield its port."""
    with server("benchmarks.delay_line", port, seconds) as (_process, own_port):
        yield own_port


async def serve(port: int, seconds: float) -> None:
    """Forward connections until it is cancelled."""

    async def forward(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(LOOPBACK, port)
        await asyncio.gather(_pass_on(client, to_server, 0.0), _pass_on(server, to_client, seconds))

    listener = await asyncio.start_server(forward, LOOPBACK, 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await listener.serve_forever()


async def _pass_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, late_seconds: float
) -> None:
    """Pass on all that comes, each piece so late, and then the end of it."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        piece = b"-"
        while piece:
            due, piece = await pieces.get()
            await asyncio.sleep(due - loop.time())
            target.write(piece)
        target.close()

    writer = asyncio.create_task(write())
    piece = b"-"
    while piece:
        try:
            piece = await source.read(65_536)
        except OSError:
            piece = b""
        pieces.put_nowait((loop.time() + late_seconds, piece))
    await writer


def main() -> None:
    """Serve what the arguments ask for, until a signal."""
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))


if __name__ == "__main__":
    main()
