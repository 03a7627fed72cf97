"""A RabbitMQ cluster of three nodes on this machine, each with a loopback address of its own."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from dev.broker import NOTHING, Company, Node
from dev.mapper import Mapper
from dev.processes import unhurried

ADDRESSES: Final = ("127.0.0.11", "127.0.0.12", "127.0.0.13")


@dataclass(frozen=True)
class Cluster:
    """The nodes, running and joined."""

    nodes: tuple[Node, ...]

    @property
    def url(self) -> str:
        """Every node's URL, comma-separated."""
        return ",".join(node.url for node in self.nodes)


@contextmanager
def private_cluster(settings: Mapping[str, object] = NOTHING) -> Iterator[Cluster]:
    """Run one for the length of a block. Raises BrokerFailed when a node does not start."""
    company = Company(mapper=Mapper(ADDRESSES))
    with ExitStack() as stack:
        stack.callback(_stop, company.mapper)
        company.mapper.start()
        nodes = []
        for address in ADDRESSES:
            node = Node(management=True, settings=settings, address=address, company=company)
            stack.callback(_stop, node)
            node.start()
            nodes.append(node)
        for node in nodes:
            node.wait_ready()
        for node in nodes[1:]:
            node.control("stop_app")
            node.control("join_cluster", nodes[0].name)
            node.control("start_app")
        for node in nodes:
            node.wait_ready()
        yield Cluster(tuple(nodes))


def _stop(started: Node | Mapper) -> None:
    with unhurried():
        started.stop()
