"""What tests share: the broker, a virtual host each, and hypothesis' profiles."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.broker import Broker, VirtualHost

pytest_plugins = ["publisher_lib.pytest_plugin"]

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Of two that run tests side by side none is to meet what the other leaves lying about.
    os.environ["TMPDIR"] = tempfile.tempdir = str(Path(tempfile.gettempdir(), f"hopmail-{worker}"))
    Path(tempfile.tempdir).mkdir(mode=0o755, exist_ok=True)

settings.register_profile(
    "default",
    deadline=None,  # a busy machine is no failure
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def broker() -> Broker:
    """Return the real RabbitMQ; without one the test fails."""
    return Broker()


@pytest.fixture
def vhost(broker: Broker) -> Iterator[VirtualHost]:
    """Make a virtual host of the test's own, without any queue."""
    made = VirtualHost(broker, f"t{uuid.uuid4().hex[:12]}")
    made.create()
    yield made
    made.delete()
