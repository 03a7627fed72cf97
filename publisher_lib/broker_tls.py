"""TLS to the broker as its URL's query asks for it, by the names RabbitMQ's own clients have.

https://www.rabbitmq.com/docs/uri-query-parameters
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlencode

FILES: Final = ("cacertfile", "certfile", "keyfile")
SERVER_NAME: Final = "server_name_indication"
VERIFY: Final = "verify"
OPTIONS: Final = (*FILES, SERVER_NAME, VERIFY)


@dataclass(frozen=True, slots=True)
class BrokerTLS:
    """Which authority to trust, which certificate to show, and which name the broker must prove.

    Empty: the system's authorities, none, and the URL's host.
    """

    cacertfile: str = ""
    certfile: str = ""
    keyfile: str = ""
    server_name: str = ""

    def context(self) -> ssl.SSLContext:
        """Read the files, anew each time: certificates are renewed while we run.

        Raises OSError, which names the option whose file cannot be used.
        """
        for option, path in (
            ("cacertfile", self.cacertfile),
            ("certfile", self.certfile),
            ("keyfile", self.keyfile),
        ):
            _make_sure_of(option, path)
        try:
            context = ssl.create_default_context(cafile=self.cacertfile or None)
        except ssl.SSLError:
            raise OSError(f"cacertfile {self.cacertfile} holds no certificate in PEM") from None
        if self.certfile:
            self._show_certificate(context)
        return context

    def _show_certificate(self, context: ssl.SSLContext) -> None:
        try:
            # Without a word for it OpenSSL would ask the terminal for the key's passphrase.
            context.load_cert_chain(self.certfile, self.keyfile or None, password=lambda: "")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise OSError(f"the key is not that of certfile {self.certfile}") from None
            files = f"certfile {self.certfile}" + (self.keyfile and f" and keyfile {self.keyfile}")
            raise OSError(
                f"{files}: must be a certificate and its key in PEM, the key without a passphrase"
            ) from None


def _make_sure_of(option: str, path: str) -> None:
    """Raise OSError where a file cannot be read; OpenSSL's own would not say which."""
    if not path:
        return
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise OSError(f"{option} {path} cannot be read: {error.strerror}") from None


def read_tls(scheme: str, query: str) -> BrokerTLS | None:
    """Read what a URL's query says of TLS; None where it says nothing.

    Raises ValueError, which quotes no value: it may be a secret in a wrong place.
    """
    given = [
        (name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name in OPTIONS
    ]
    if not given:
        return None
    found = dict(given)
    if len(found) < len(given):
        raise ValueError("an option of TLS is given twice")
    if scheme != "amqps":
        raise ValueError(f"the option {given[0][0]} needs amqps://")
    _check(found)
    return BrokerTLS(*(found.get(name, "") for name in (*FILES, SERVER_NAME)))


def without_tls(split: SplitResult) -> str:
    """Return a URL without these options, for a client that does not know them."""
    rest = [
        pair for pair in parse_qsl(split.query, keep_blank_values=True) if pair[0] not in OPTIONS
    ]
    return split._replace(query=urlencode(rest)).geturl()


def _check(found: Mapping[str, str]) -> None:
    for name in FILES:
        if name in found and not found[name].startswith("/"):
            raise ValueError(f"the option {name} must be an absolute path")
    if "keyfile" in found and "certfile" not in found:
        raise ValueError("the option keyfile needs certfile")
    if SERVER_NAME in found and found[SERVER_NAME] in {"", "disable"}:
        raise ValueError(f"the option {SERVER_NAME} must be a host's name")
    if found.get(VERIFY, "verify_peer") != "verify_peer":
        raise ValueError("the broker's certificate is always verified: leave verify away")
