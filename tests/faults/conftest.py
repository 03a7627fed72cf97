"""A scene for each case: on the shared broker, or on a node that may be killed."""

import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.broker import Node, private_node
from tests.faults.results import SEED, Case
from tests.faults.scene import Scene
from tests.faults.sink import Sink, counting_sink
from tests.support.broker import Broker, VirtualHost


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """Return the case that the test's marker names: `@pytest.mark.faults(number, "the fault")`."""
    marker = request.node.get_closest_marker("faults")
    assert marker is not None
    return _case(request.node, marker)


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Run the relay that counts."""
    with counting_sink() as running:
        yield running


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """Run a broker of our own, which the cases kill and start again one after the other."""
    with private_node(management=True) as running:
        yield running


@pytest.fixture
def scene(
    case: Case,
    vhost: VirtualHost,
    sink: Sink,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Scene]:
    """Set up a scene on the shared broker."""
    with _scene(Scene(case, vhost, sink, tmp_path), caplog) as made:
        yield made


@pytest.fixture
def mortal(
    case: Case, node: Node, sink: Sink, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Scene]:
    """Set up a scene whose broker may be killed."""
    vhost = VirtualHost(Broker(node.url, node.management_url), f"t{uuid.uuid4().hex[:12]}")
    vhost.create()
    with _scene(Scene(case, vhost, sink, tmp_path, node), caplog) as made:
        yield made
    vhost.delete()


@contextmanager
def _scene(made: Scene, caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    made.logs = caplog.text.splitlines
    try:
        yield made
    finally:
        made.attempts.close()


def pytest_report_header() -> str:
    """Tell the seed with which the faults' random moments are drawn."""
    return f"faults: seed {SEED}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have the results tell of a case that failed, wherever it did."""
    report = yield
    marker = item.get_closest_marker("faults")
    if marker is not None and report.failed:
        _case(item, marker).failed()
    return report


def _case(item: pytest.Item, marker: pytest.Mark) -> Case:
    number, fault = marker.args
    return Case(number, fault, item.nodeid, is_control=marker.kwargs.get("control", False))
