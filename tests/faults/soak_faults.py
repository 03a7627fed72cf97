"""The soak's faults: each is done and undone within seconds."""

import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Final

from dev.broker import Node
from tests.faults.crew import Crew
from tests.faults.scene import Scene
from tests.faults.sink import AtDot
from tests.support.consumer_process import state_folder, wait_until

MORTAL: Final = 0
LASTING: Final = 1
"""The consumer that is never ended: its memory tells of an hour."""

LEDGER_SECONDS: Final = 3.0
FROZEN_SECONDS: Final = 3.0
RELAY_SECONDS: Final = 3.0


class Faults:
    """One after the other, drawn by weight from a seeded choice."""

    def __init__(self, scene: Scene, crew: Crew, node: Node) -> None:
        self.times: dict[str, int] = {}
        self._scene = scene
        self._crew = crew
        self._node = node
        self._all: Mapping[str, tuple[int, Callable[[], None]]] = {
            "consumer killed": (4, lambda: self._end(signal.SIGKILL)),
            "consumer stopped": (3, lambda: self._end(signal.SIGTERM)),
            "consumer frozen": (3, self._freeze),
            "connections closed": (3, self._close_connections),
            "broker restarted": (2, self._restart_broker),
            "broker killed": (1, self._kill_broker),
            "relay silent": (2, lambda: self._relay(AtDot.STALL)),
            "relay takes and hangs up": (3, lambda: self._relay(AtDot.TAKE_AND_HANG_UP)),
            "relay loses and hangs up": (2, lambda: self._relay(AtDot.LOSE_AND_HANG_UP)),
            "relay defers": (3, lambda: self._relay(AtDot.REFUSE)),
            "ledger locked": (3, self._lock_ledger),
        }

    def play_one(self) -> str:
        """Do one, wait until it is undone, and return its name."""
        names = list(self._all)
        (name,) = self._scene.random.choices(names, [weight for weight, _act in self._all.values()])
        self._all[name][1]()
        self._scene.fault()
        self.times[name] = self.times.get(name, 0) + 1
        return name

    def _end(self, number: signal.Signals) -> None:
        restarts = self._crew.restarts
        self._crew.signal(MORTAL, number)
        wait_until(lambda: self._crew.restarts > restarts, 60, "its end")

    def _freeze(self) -> None:
        worker = self._scene.random.choice((MORTAL, LASTING))
        self._crew.signal(worker, signal.SIGSTOP)
        time.sleep(FROZEN_SECONDS)
        self._crew.signal(worker, signal.SIGCONT)

    def _close_connections(self) -> None:
        self._node.control("close_all_connections", "--vhost", self._scene.vhost.name, "a fault")

    def _restart_broker(self) -> None:
        self._node.control("stop_app")
        self._node.control("start_app")

    def _kill_broker(self) -> None:
        self._node.kill()
        self._node.restart()

    def _relay(self, fate: AtDot) -> None:
        sink = self._scene.sink
        sink.at_dot = lambda _message_id: fate
        time.sleep(RELAY_SECONDS)
        sink.at_dot = lambda _message_id: AtDot.TAKE

    def _lock_ledger(self) -> None:
        path = state_folder(self._scene.vhost.url) / "ledger.sqlite3"
        with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(LEDGER_SECONDS)
