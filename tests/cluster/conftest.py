"""A cluster whose nodes die, hang and are cut off, and a scene that counts what that costs."""

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.cluster import Cluster, private_cluster
from tests.cluster.members import Members
from tests.faults.conftest import case, pytest_runtest_makereport, sink
from tests.faults.crew import Crew
from tests.faults.results import Case
from tests.faults.scene import Scene
from tests.faults.sink import Sink
from tests.support.redis_server import redis_server

__all__ = ["case", "pytest_runtest_makereport", "sink"]

NET_TICK_SECONDS = 5
"""After up to 5/4 of it nodes give up on one that is silent; RabbitMQ's own is 60."""


@dataclass(frozen=True)
class Stage:
    """A scene on a cluster, whose consumers share a ledger."""

    scene: Scene
    members: Members
    ledger_url: str
    hosts: Path

    def consumers(self) -> AbstractContextManager[Crew]:
        """Keep two consumers running that know every node, as on two hosts: with no common disk."""
        return self.scene.consumers(
            2,
            amqp_url=self.members.urls,
            ledger_url=self.ledger_url,
            state_dir=f"{self.hosts}/host-{{worker}}",
        )


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run a cluster; the test's parameter is its `cluster_partition_handling`."""
    settings = {"net_ticktime": NET_TICK_SECONDS, "cluster_partition_handling": request.param}
    with private_cluster(settings) as running:
        yield running


@pytest.fixture
def ledger_url(tmp_path: Path) -> Iterator[str]:
    """Run the ledger that the consumers share, as those of two hosts must."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with redis_server(folder, "--maxmemory-policy", "noeviction") as server:
        yield server.url


@pytest.fixture
def stage(
    case: Case, cluster: Cluster, sink: Sink, ledger_url: str, tmp_path: Path
) -> Iterator[Stage]:
    """Set a scene whose queues' leaders are on the node that every client tries first."""
    members = Members(cluster, f"t{uuid.uuid4().hex[:12]}")
    first, _second, last = members.hosts
    members.create()
    # A queue's leader is at first where it was declared.
    first.declare_topology()
    scene = Scene(case, last, sink, tmp_path)
    try:
        yield Stage(scene, members, ledger_url, tmp_path)
    finally:
        scene.attempts.close()
    last.delete()
