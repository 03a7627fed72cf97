"""What a person can do about a relay's trouble. Pure."""

import smtplib
import socket
import ssl
from typing import Final

from consumer.core.outcome import Stage, Unreachable
from consumer.core.relay_options import TLS
from consumer.core.relay_url import RelayURL
from consumer.smtp.opening import NotOffered, UnreadableCA

EXPIRED: Final = 10
WRONG_NAMES: Final = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED, …_HOSTNAME_MISMATCH and …_IP_ADDRESS_MISMATCH."""

LOWEST_PERMANENT: Final = 500

ASK: Final = "ask who runs the relay"
WAIT: Final = f"wait, or {ASK}"
OTHER_PORT: Final = (
    "check the port: smtp:// with 587 or 25 begins in the clear, smtps:// with 465 in TLS"
)


def cure_of(url: RelayURL, trouble: Unreachable, error: Exception) -> str:
    """Return the cure for what kept a session from opening; names options of HOPMAIL_SMTP_URL."""
    match trouble.stage:
        case Stage.CONNECT:
            return _of_connecting(url, error)
        case Stage.STARTTLS:
            return _of_encrypting(url, error)
        case Stage.AUTH:
            return _of_logging_in(url, trouble, error)
        case Stage.GREETING if trouble.reply is None:
            return OTHER_PORT
        case _ if trouble.reply is not None and not trouble.reply.is_permanent:
            return WAIT
        case _:
            return ASK


def _of_connecting(url: RelayURL, error: Exception) -> str:
    match error:
        case socket.gaierror() | UnicodeError():
            return f"check the host name {url.host} and this machine's DNS"
        case TimeoutError():
            return "check host, port, and the firewalls between: no answer comes back"
        case _:
            return "check host and port, that the relay runs, and the firewalls between"


def _of_encrypting(url: RelayURL, error: Exception) -> str:
    match error:
        case NotOffered():
            return (
                "use smtps:// (port 465) or the relay's submission port (587), or tls=none"
                " where the network between is trusted"
            )
        case ssl.SSLCertVerificationError(verify_code=code) if code in WRONG_NAMES:
            return f"put the name that is in the certificate in place of {url.host}"
        case ssl.SSLCertVerificationError(verify_code=code) if code == EXPIRED:
            return "renew the relay's certificate"
        case ssl.SSLCertVerificationError():
            return "give the authority that signed the certificate: cafile=/path/to/ca.pem"
        case UnreadableCA():
            return f"make {url.cafile} a readable PEM file, or mend the option cafile"
        case smtplib.SMTPResponseException():
            return f"the relay offers TLS but cannot do it now: {WAIT}"
        case _:
            return OTHER_PORT


def _of_logging_in(url: RelayURL, trouble: Unreachable, error: Exception) -> str:
    if isinstance(error, NotOffered):
        if url.tls in {TLS.NONE, TLS.OPPORTUNISTIC} and not url.insecure_auth:
            return (
                "use tls=required with a port that offers STARTTLS, or insecure_auth=yes where"
                " the network between is trusted"
            )
        return "use the relay's submission port (587 or 465), or a URL without user and password"
    if trouble.reply is not None and trouble.reply.code < LOWEST_PERMANENT:
        return WAIT
    return f"check user and password: the relay does not take those of {url.user}"
