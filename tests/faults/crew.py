"""Consumer processes that are started again whenever they end, as supervisor does."""

import signal
import threading
from functools import partial
from itertools import chain
from typing import Any, Final

from tests.support.consumer_process import ConsumerProcess, wait_until

LOOK_SECONDS: Final = 0.02
READY_SECONDS: Final = 60.0
PROGRAM: Final = ("-m", "consumer")


class Crew:
    """So many processes, and a thread that replaces the dead; `program` is what each runs.

    In a setting's text `{worker}` is the process's number: each may have a host of its own.

    `restarts` counts the replaced, `codes` has their exit codes.
    """

    def __init__(
        self,
        amqp_url: str,
        smtp_url: str,
        size: int,
        program: tuple[str, ...] = PROGRAM,
        /,
        **settings: object,
    ) -> None:
        self.size = size
        self.restarts = 0
        self.codes: list[int] = []
        self._arguments = amqp_url, smtp_url, program
        self._settings = settings
        self._members: list[ConsumerProcess] = []
        self._former: list[ConsumerProcess] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._keeper: threading.Thread | None = None

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every JSON line that any of them logged."""
        return list(chain.from_iterable(member.lines for member in self._all()))

    @property
    def raw(self) -> list[str]:
        """Every line that any of them wrote."""
        return list(chain.from_iterable(member.raw for member in self._all()))

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        return [line for line in self.lines if line.get("event") == event]

    @property
    def pids(self) -> list[int]:
        """The process ids of those that should run now."""
        with self._lock:
            return [member.pid for member in self._members]

    def start(self) -> None:
        """Start all, and keep them running."""
        self._stopping.clear()
        self._members = [self._start_one(worker) for worker in range(self.size)]
        self._keeper = threading.Thread(target=self._keep, name="keeper")
        self._keeper.start()

    def wait_ready(self) -> None:
        """Wait until every one takes deliveries."""
        for worker in range(self.size):
            wait_until(partial(self._is_consuming, worker), READY_SECONDS, f"consumer {worker}")

    def signal(self, worker: int, number: int = signal.SIGKILL) -> None:
        """Signal one of them; SIGKILL by default, which it cannot answer."""
        self._member(worker).signal(number)

    def stop(self) -> list[int]:
        """Have all of them stop in order; return their exit codes. Their lines stay."""
        if self._keeper is None:
            return []
        self._stopping.set()
        self._keeper.join()
        self._keeper = None
        for member in self._members:
            member.signal(signal.SIGTERM)
        codes = [_code(member, member.wait(60)) for member in self._members]
        self._retire_all()
        return codes

    def kill(self) -> None:
        """End all of them at once and replace none."""
        if self._keeper is not None:
            self._stopping.set()
            self._keeper.join()
            self._keeper = None
        for member in self._members:
            member.signal(signal.SIGKILL)
        self._retire_all()

    def _retire_all(self) -> None:
        for member in self._members:
            member.kill()
        self._former += self._members
        self._members = []

    def _all(self) -> list[ConsumerProcess]:
        with self._lock:
            return [*self._former, *self._members]

    def _start_one(self, worker: int) -> ConsumerProcess:
        own = {
            name: value.format(worker=worker) if isinstance(value, str) else value
            for name, value in self._settings.items()
        }
        return ConsumerProcess(*self._arguments, worker=worker, **own)

    def _is_consuming(self, worker: int) -> bool:
        return bool(self._member(worker).events("consuming"))

    def _member(self, worker: int) -> ConsumerProcess:
        with self._lock:
            return self._members[worker]

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            for worker, member in enumerate(self._members):
                if member.is_alive:
                    continue
                # Reaped, and its last lines read, before the next one is there.
                member.kill()
                self.codes.append(_code(member, member.wait(0)))
                successor = self._start_one(worker)
                with self._lock:
                    self._former.append(member)
                    self._members[worker] = successor
                    self.restarts += 1


def _code(member: ConsumerProcess, code: int) -> int:
    """Return the exit code; one that had not begun leaves as the system has it."""
    has_begun = bool(member.events("consuming"))
    return 0 if code == -signal.SIGTERM and not has_begun else code
