"""What tests share: the broker, a virtual host each, and hypothesis' profiles."""

import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.broker import Broker, VirtualHost

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
