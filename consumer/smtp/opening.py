"""From nothing to a session past its login: connect, greeting, EHLO, TLS, AUTH."""

import base64
import math
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from consumer.core.outcome import Stage, Unreachable
from consumer.core.relay_options import TLS
from consumer.core.relay_url import RelayURL
from consumer.smtp.commands import Extensions
from consumer.smtp.outcome_of import trouble_of
from consumer.smtp.session import Session

READY: Final = 220
AUTHENTICATED: Final = 235
DONE: Final = 250
LOWEST_PERMANENT: Final = 500

MECHANISMS: Final = frozenset({"PLAIN", "LOGIN", "CRAM-MD5"})
"""What the standard library's `login` speaks."""


class NotOpened(Exception):
    """No session: the relay's trouble, which says nothing about any message.

    `error` is what was raised at `trouble.stage`; its text may hold the password.
    """

    def __init__(self, trouble: Unreachable, error: Exception) -> None:
        super().__init__(trouble)
        self.trouble = trouble
        self.error = error


class NotOffered(OSError):
    """The relay lacks what the URL asks for, and going on without it would not be safe."""


class UnreadableCA(OSError):
    """The option cafile names no file of CA certificates."""


def tls_context(url: RelayURL) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or newer that verifies certificate and name where asked.

    Raises UnreadableCA.
    """
    try:
        context = ssl.create_default_context(cafile=url.cafile)
    except OSError as error:
        raise UnreadableCA(f"cafile {url.cafile} cannot be read: {error.strerror}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not url.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def open_session(
    url: RelayURL,
    context: Callable[[], ssl.SSLContext],
    *,
    pipelining: bool = True,
    deadline: float = math.inf,
) -> Session:
    """Return a session ready for MAIL. Raises NotOpened, which tells the stage and why.

    `pipelining=False` leaves an offer of PIPELINING unused; `deadline` is the session's.
    """
    session = Session(url)
    session.deadline = deadline
    try:
        _connect(session, context)
        _say_hello(session)
        _secure(session, context)
        _log_in(session)
    except (OSError, ValueError) as error:
        # ValueError: a host name that IDNA refuses, a challenge that is not base64.
        session.close()
        raise NotOpened(_trouble(session, error), error) from None
    except BaseException:
        session.close()
        raise
    extensions = Extensions.of(session.esmtp_features)
    session.extensions = replace(extensions, pipelining=extensions.pipelining and pipelining)
    return session


def _connect(session: Session, context: Callable[[], ssl.SSLContext]) -> None:
    session.stage = Stage.CONNECT
    session.dial()
    if session.url.tls is TLS.IMPLICIT:
        session.stage = Stage.STARTTLS
        session.encrypt(context())
    session.stage = Stage.GREETING
    code, text = session.getreply()
    if code != READY:
        raise smtplib.SMTPResponseException(code, text)


def _say_hello(session: Session) -> None:
    session.stage = Stage.EHLO
    code, text = session.ehlo()
    if code >= LOWEST_PERMANENT:
        code, text = session.helo()
    if code != DONE:
        raise smtplib.SMTPResponseException(code, text)
    if session.is_traced:
        session.trace("smtp extensions", offered=sorted(map(str.upper, session.esmtp_features)))


def _secure(session: Session, context: Callable[[], ssl.SSLContext]) -> None:
    mode = session.url.tls
    if mode in {TLS.IMPLICIT, TLS.NONE}:
        return
    session.stage = Stage.STARTTLS
    if not session.has_extn("starttls"):
        if mode is TLS.OPPORTUNISTIC:
            return
        raise NotOffered("the relay does not offer STARTTLS, and nothing is sent in the clear")
    code, text = session.docmd("STARTTLS")
    if code == READY:
        session.encrypt(context())
        _say_hello(session)
    elif mode is not TLS.OPPORTUNISTIC:
        raise smtplib.SMTPResponseException(code, text)


def _log_in(session: Session) -> None:
    url = session.url
    if url.user is None or url.password is None:
        return
    session.stage = Stage.AUTH
    if not (session.is_encrypted or url.insecure_auth):
        raise NotOffered("the relay offers no TLS, and the password is not sent in the clear")
    offered = session.esmtp_features.get("auth", "").split()
    if MECHANISMS.isdisjoint(offered):
        raise NotOffered(
            f"the relay offers no login that we speak ({', '.join(sorted(MECHANISMS))}), but"
            f" {' '.join(offered) or 'none at all'}"
        )
    code, text = session.login(url.user, url.password)
    # 503, "already authenticated" to the standard library, is also "authentication not enabled".
    if code != AUTHENTICATED:
        raise smtplib.SMTPAuthenticationError(code, text)


def _trouble(session: Session, error: Exception) -> Unreachable:
    url = session.url
    trouble = trouble_of(session.stage, error)
    if trouble.stage is Stage.CONNECT:
        return replace(trouble, detail=f"{url.host}:{url.port}: {trouble.detail}")
    if trouble.stage is Stage.AUTH and url.password is not None:
        return _without_password(trouble, url.user or "", url.password)
    return trouble


def _without_password(trouble: Unreachable, user: str, password: str) -> Unreachable:
    """Mask the password where a relay quotes the command it refuses."""
    secrets = [password, *(_base64(text) for text in (password, f"\0{user}\0{password}"))]
    detail, reply = trouble.detail, trouble.reply
    for secret in secrets:
        detail = detail.replace(secret, "***")
        reply = reply and replace(reply, text=reply.text.replace(secret, "***"))
    return replace(trouble, detail=detail, reply=reply)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
