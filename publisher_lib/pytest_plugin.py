"""The fixture `outbox` for pytest, which finds it by itself where Hopmail is installed."""

from collections.abc import Iterator

import pytest

from publisher_lib import testing


@pytest.fixture
def outbox() -> Iterator[testing.Outbox]:
    """Keep what is published in this test: `outbox.sent[0].email`; nothing connects to a broker."""
    with testing.outbox() as box:
        yield box
