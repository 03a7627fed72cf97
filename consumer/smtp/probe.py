"""Whether the relay would take mail: step by step, and without giving it any."""

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from consumer.core.outcome import Stage, Unreachable
from consumer.core.relay_options import TLS
from consumer.core.relay_url import RelayURL
from consumer.smtp.cure import cure_of
from consumer.smtp.opening import NotOpened
from consumer.smtp.outcome_of import trouble_of
from consumer.smtp.reply import reply_of
from consumer.smtp.session import Session

PROBE_SECONDS: Final = 60.0
"""The longest that a probe takes; a relay that drips must not hold the breaker's thread."""

NAMES: Final = {
    Stage.CONNECT: "connect",
    Stage.STARTTLS: "TLS",
    Stage.GREETING: "greeting",
    Stage.EHLO: "EHLO",
    Stage.AUTH: "login",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a probe: what was found, and the cure where that is not `ok`."""

    name: str
    ok: bool
    detail: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The steps up to the first that failed, and that one's trouble."""

    steps: tuple[Step, ...]
    trouble: Unreachable | None


def probe(url: RelayURL, open_session: Callable[[float], Session]) -> Report:
    """Open a session (by a callable that takes its deadline), say NOOP and leave."""
    try:
        session = open_session(time.monotonic() + PROBE_SECONDS)
    except NotOpened as failure:
        return _not_opened(url, failure)
    trouble, said = _noop(session)
    steps = [Step(NAMES[stage], ok=True, detail=_found(stage, session)) for stage in _stages(url)]
    cure = "" if trouble is None else "the relay takes no commands for now; ask who runs it"
    session.leave()
    return Report((*steps, Step("NOOP", trouble is None, said, cure)), trouble)


def _not_opened(url: RelayURL, failure: NotOpened) -> Report:
    trouble = failure.trouble
    steps = []
    for stage in _stages(url):
        if stage is trouble.stage:
            break
        steps.append(Step(NAMES[stage], ok=True, detail="done"))
    cure = cure_of(url, trouble, failure.error)
    failed = Step(NAMES[trouble.stage], ok=False, detail=trouble.detail, cure=cure)
    return Report((*steps, failed), trouble)


def _stages(url: RelayURL) -> Iterator[Stage]:
    """Give the stages of opening a session, in the order that the URL asks for."""
    yield Stage.CONNECT
    if url.tls is TLS.IMPLICIT:
        yield Stage.STARTTLS
    yield Stage.GREETING
    yield Stage.EHLO
    if url.tls in {TLS.REQUIRED, TLS.OPPORTUNISTIC}:
        yield Stage.STARTTLS
    if url.user is not None:
        yield Stage.AUTH


def _noop(session: Session) -> tuple[Unreachable | None, str]:
    try:
        reply = reply_of(*session.noop())
    except OSError as error:
        trouble = trouble_of(session.stage, error)
        return trouble, trouble.detail
    said = str(reply)
    return (None if reply.is_positive else Unreachable(session.stage, f"NOOP: {said}", reply)), said


def _found(stage: Stage, session: Session) -> str:
    url = session.url
    match stage:
        case Stage.CONNECT:
            return f"{url.host}:{url.port}"
        case Stage.EHLO:
            return " ".join(sorted(session.esmtp_features)).upper() or "no extensions"
        case Stage.STARTTLS:
            return _encryption(session)
        case Stage.AUTH:
            return f"as {url.user}"
        case _:
            return "done"


def _encryption(session: Session) -> str:
    sock = session.sock
    if not isinstance(sock, ssl.SSLSocket):
        return "not offered, so mail goes in the clear (tls=opportunistic)"
    verified = "certificate verified" if session.url.verify else "certificate not verified"
    return f"{sock.version()}, {verified}"
