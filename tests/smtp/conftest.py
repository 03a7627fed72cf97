"""What the SMTP tests share: an authority for certificates."""

from collections.abc import Iterator

import pytest

from tests.support.certificates import Authority, authority


@pytest.fixture(scope="session")
def ca() -> Iterator[Authority]:
    """Return an authority whose certificate is in `ca.cafile`."""
    with authority() as made:
        yield made
