"""A network of its own, reached by wires that lose, delay and double packets, or carry none.

Made of TUN devices and network namespaces (docs.kernel.org/networking/tuntap.html,
network_namespaces(7)); takes root. Not every kernel has netem.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

TUN: Final = "/dev/net/tun"
TUNSETIFF: Final = 0x400454CA
IFF_TUN_NO_PI: Final = 0x1001
LARGEST_PACKET_BYTES: Final = 65_536
LOOK_SECONDS: Final = 0.05

HERE: Final = 0
THERE: Final = 1


class Wire:
    """Joins this machine, as `address`, to a namespace. Its harm may be changed while it runs.

    `lost` and `doubled` are parts of all packets, `late_seconds` the range of their delay;
    `is_cut_to_here` and `is_cut_to_there` end one way each. `dropped` counts what did not arrive.
    """

    def __init__(self, namespace: str, number: int, seed: int) -> None:
        self.lost = self.doubled = 0.0
        self.late_seconds = (0.0, 0.0)
        self.is_cut_to_here = self.is_cut_to_there = False
        # RFC 2544's addresses for tests: nobody else's network.
        self.address = f"198.18.{number}.1"
        self.dropped = 0
        self._random = random.Random(seed)  # noqa: S311 - the same harm again, no secret
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._carried = 0
        self._stopping = threading.Event()
        names = [f"{namespace}-{number}{end}" for end in "ab"]
        self._ends = [_open(name) for name in names]
        _ip("link", "set", names[THERE], "netns", namespace)
        for end, within in ((HERE, ()), (THERE, ("-n", namespace))):
            _ip(*within, "address", "add", f"198.18.{number}.{end + 1}/30", "dev", names[end])
            _ip(*within, "link", "set", names[end], "up")
        self._thread = threading.Thread(target=self._carry, name="wire")
        self._thread.start()

    def mend(self) -> None:
        """Do no more harm."""
        self.lost = self.doubled = 0.0
        self.late_seconds = (0.0, 0.0)
        self.is_cut_to_here = self.is_cut_to_there = False

    def close(self) -> None:
        """Take the devices away."""
        self._stopping.set()
        self._thread.join()
        for end in self._ends:
            os.close(end)

    def _carry(self) -> None:
        while not self._stopping.is_set():
            now = time.monotonic()
            wait = self._under_way[0][0] - now if self._under_way else LOOK_SECONDS
            ready, _, _ = select.select(self._ends, (), (), max(0.0, min(wait, LOOK_SECONDS)))
            for file in ready:
                self._take(1 - self._ends.index(file), os.read(file, LARGEST_PACKET_BYTES))
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                _due, _number, to, packet = heapq.heappop(self._under_way)
                with suppress(OSError):
                    os.write(self._ends[to], packet)

    def _take(self, to: int, packet: bytes) -> None:
        is_cut = self.is_cut_to_there if to == THERE else self.is_cut_to_here
        if is_cut or self._random.random() < self.lost:
            self.dropped += 1
            return
        for _copy in range(1 + (self._random.random() < self.doubled)):
            self._carried += 1
            due = time.monotonic() + self._random.uniform(*self.late_seconds)
            heapq.heappush(self._under_way, (due, self._carried, to, packet))


def program_in(namespace: str) -> tuple[str, ...]:
    """Return the program that is a consumer within a namespace."""
    words = ["ip", "netns", "exec", namespace]
    return (
        "-c",
        (
            "import os, sys;"
            f"os.execvp('ip', [*{words}, sys.executable, '-m', 'consumer', *sys.argv[1:]])"
        ),
    )


@contextmanager
def network(seed: int, wires: int = 2) -> Iterator[tuple[str, list[Wire]]]:
    """Make a namespace and wires to it for the length of a block."""
    namespace = f"hop{os.getpid()}"
    with ExitStack() as stack:
        _ip("netns", "add", namespace)
        stack.callback(_ip, "netns", "delete", namespace)
        # pika wakes its loop over loopback.
        _ip("-n", namespace, "link", "set", "lo", "up")
        made = []
        for number in range(wires):
            made.append(Wire(namespace, number, seed + number))
            stack.callback(made[-1].close)
        yield namespace, made


def _open(name: str) -> int:
    file = os.open(TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
    return file


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
