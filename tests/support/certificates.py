"""Certificates for test servers, from an authority made for the test run."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from tempfile import TemporaryDirectory

import trustme


class Authority:
    """A CA, its certificate in a file, and server contexts with certificates it signed.

    Those that a client must refuse are in `tests.support.flawed_certificates`.
    """

    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA()
        self.cafile = directory / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.cafile))

    def issue(self, file: Path, *names: str, expired: bool = False) -> Path:
        """Write a certificate for `names`, its chain and its key into a file."""
        now = datetime.now(UTC)
        certificate = self.ca.issue_cert(
            *names,
            not_before=now - timedelta(days=2),
            not_after=now - timedelta(days=1) if expired else now + timedelta(days=1),
        )
        certificate.private_key_and_cert_chain_pem.write_to_path(str(file))
        return file

    def context(self, *names: str, expired: bool = False) -> SSLContext:
        """Return a server's context, for localhost and 127.0.0.1 unless `names` are given."""
        now = datetime.now(UTC)
        certificate = self.ca.issue_cert(
            *(names or ("localhost", "127.0.0.1")),
            not_before=now - timedelta(days=2),
            not_after=now - timedelta(days=1) if expired else now + timedelta(days=1),
        )
        context = SSLContext(PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context


@contextmanager
def authority() -> Iterator[Authority]:
    """Make an authority, its file there for the length of a block."""
    with TemporaryDirectory() as directory:
        yield Authority(Path(directory))
