"""Makes the topology on the broker, or compares it with what is there."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pika import exceptions

from consumer.amqp.connection import blocking_connection
from consumer.core.topology import Queue, Topology

ACCESS_REFUSED: Final = 403
NOT_FOUND: Final = 404
MISSING: Final = "is missing"
UNSEEN: Final = "this login may not see whether their arguments are right"

INEQUIVALENT: Final = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>\w+) '(?P<name>[^']+)' in vhost '[^']*': "
    r"received (?P<wanted>.*?) but current is (?P<actual>.*)"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing on the broker that is not as Hopmail needs it."""

    name: str
    problem: str
    cure: str

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}; {self.cure}"

    @property
    def is_absence(self) -> bool:
        """Whether there is nothing of that name."""
        return self.problem == MISSING


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs on the broker; `is_by_name_only`: the login may not see the arguments of all."""

    differences: tuple[Difference, ...]
    is_by_name_only: bool


class TopologyMismatch(Exception):
    """The broker holds something of another shape; `differences` say what."""

    def __init__(self, differences: tuple[Difference, ...]) -> None:
        super().__init__("; ".join(map(str, differences)))
        self.differences = differences


def apply(urls: tuple[str, ...], topology: Topology) -> None:
    """Declare everything, idempotently.

    A login without the right to declare may go on where all is there already (passive checks).
    Raises `BrokerUnavailable`, or `TopologyMismatch` with every difference; deletes nothing.
    """
    with blocking_connection(urls, "hopmail topology") as connection:
        differences = tuple(_declare_all(connection, topology))
    if differences:
        raise TopologyMismatch(differences)


def check(urls: tuple[str, ...], topology: Topology) -> tuple[Difference, ...]:
    """Return what differs on the broker, as `compare` does."""
    return compare(urls, topology).differences


def compare(urls: tuple[str, ...], topology: Topology) -> Comparison:
    """Compare with what is on the broker, without making anything.

    Bindings cannot be read over AMQP 0-9-1; `apply` makes sure of them.
    Raises `BrokerUnavailable`.
    """
    with blocking_connection(urls, "hopmail topology check") as connection:
        attempt = _Attempts(connection)
        differences = tuple(_compare_all(attempt, topology))
        return Comparison(differences, bool(attempt.refused))


def _declare_all(connection: Any, topology: Topology) -> Iterator[Difference]:
    attempt = _Attempts(connection)
    for exchange in topology.exchanges:
        yield from attempt.declare(exchange, _declare_exchange, _find_exchange)
    for queue in topology.queues:
        yield from attempt.declare(queue, _declare_queue, _find_queue)
        yield from attempt.declare(queue, _bind, _find_queue)


def _compare_all(attempt: "_Attempts", topology: Topology) -> Iterator[Difference]:
    for exchange in topology.exchanges:
        missing = attempt(exchange, _find_exchange)
        yield from missing or attempt.declare(exchange, _declare_exchange, _find_exchange)
    for queue in topology.queues:
        missing = attempt(queue, _find_queue)
        yield from missing or attempt.declare(queue, _declare_queue, _find_queue)


T = TypeVar("T", str, Queue)
Step = Callable[[Any, T], object]


class _Attempts:
    """Runs steps on a channel, a new one after each refusal: the broker closes it then.

    `refused` are those that this login has no right to: each refusal is an error in the broker's
    log, so one of a kind is enough.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self.refused: set[object] = set()

    def __call__(self, what: T, step: Step[T]) -> tuple[Difference, ...]:
        """Run a step; return what is amiss."""
        try:
            step(self._channel, what)
        except exceptions.ChannelClosedByBroker as refusal:
            self._channel = self._connection.channel()
            if refusal.reply_code == ACCESS_REFUSED:
                self.refused.add(step)
            return (_difference(what if isinstance(what, str) else what.name, refusal),)
        return ()

    def declare(self, what: T, step: Step[T], without_right: Step[T]) -> tuple[Difference, ...]:
        """Run a step, or the other where this one's kind is refused to us."""
        found = () if step in self.refused else self(what, step)
        return self(what, without_right) if step in self.refused else found


def _declare_exchange(channel: Any, name: str) -> None:
    channel.exchange_declare(name, exchange_type="direct", durable=True)


def _find_exchange(channel: Any, name: str) -> None:
    channel.exchange_declare(name, passive=True)


def _declare_queue(channel: Any, queue: Queue) -> None:
    channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))


def _find_queue(channel: Any, queue: Queue) -> None:
    channel.queue_declare(queue.name, passive=True)


def _bind(channel: Any, queue: Queue) -> None:
    channel.queue_bind(queue.name, queue.exchange, queue.routing_key)


def _difference(name: str, refusal: Any) -> Difference:
    if refusal.reply_code == NOT_FOUND:
        return Difference(
            name, MISSING, "run `hopmail topology apply`, under a login that may make it"
        )
    if refusal.reply_code == ACCESS_REFUSED:
        return Difference(
            name,
            "may not be looked at",
            "give this login the rights that `hopmail topology users` prints",
        )
    if found := INEQUIVALENT.search(refusal.reply_text):
        return Difference(
            name,
            f"argument {found['argument']} is {_plain(found['actual'])}, "
            f"needs {_plain(found['wanted'])}",
            f"empty and delete this {found['kind']}, then run `hopmail topology apply`",
        )
    return Difference(name, refusal.reply_text, "see what RabbitMQ says of it in its own log")


def _plain(value: str) -> str:
    """Strip RabbitMQ's wording: "the value '5' of type 'signedint'" → 5."""
    quoted = re.search(r"'([^']*)'", value)
    return quoted[1] if quoted else value
