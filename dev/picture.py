"""`make picture`: the dashboard as Grafana would show it, drawn after two minutes of real mail."""

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dev.broker import private_node
from dev.cases import breach
from dev.consumers import PROCESSES, consuming
from dev.dashboard import Panel, Span, panels
from dev.drawing import Answer, draw
from dev.folder import alone_in, empty
from dev.monitoring import MonitoringFailed, monitoring
from dev.processes import INTERRUPTED, leave_on_signals
from dev.prometheus import Prometheus
from dev.relay import DOUBT, LATER, NOBODY, Relay, mail_catcher
from dev.service import REFUSED, TROUBLE
from dev.terminal import Colour, paint, step
from publisher_lib import Lane, Publisher

FOLDER: Final = Path(".state/picture")
PICTURE: Final = Path("docs/dashboard.png")
LADDER: Final = "2s,10s,1m"
SECONDS: Final = 120.0
ROWS: Final = 4
"""Of the dashboard, from its top: a picture of all is too long for a README."""

AWAY: Final = (0.5, 0.62)
"""From which part of that time to which the relay turns everybody away."""

MAILS_PER_SECOND: Final = 6


@dataclass(frozen=True)
class Kind:
    """What is published at one turn: a mail to each of these names."""

    names: Sequence[str]
    lane: Lane = Lane.TRANSACTIONAL
    times: int = 1


TURNS: Final = 60
BREACH: Final = 35
NEWSLETTER: Final = Kind([f"reader-{number}" for number in range(15)], Lane.BULK)
KINDS: Final = {
    **dict.fromkeys((5, 25, 45), NEWSLETTER),
    **dict.fromkeys((10, 30, 50), Kind([LATER])),
    **dict.fromkeys((12, 40), Kind([NOBODY])),
    **dict.fromkeys((20, 55), Kind(["twice"], times=2)),
    15: Kind([DOUBT]),
}
"""By the turn, of which there are `TURNS`, again and again; else one mail that goes well."""

LAST_WRITE_SECONDS: Final = 7.0
"""Until the figures of the last mail are written and scraped."""


def main() -> int:
    """Run all of it, draw, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long mail is sent")
    parser.add_argument("--to", type=Path, default=PICTURE, help="where the picture goes")
    parser.add_argument("--rows", type=int, default=ROWS, help="how many rows of the dashboard")
    chosen = parser.parse_args()
    leave_on_signals()
    try:
        with ExitStack() as stack:
            stack.enter_context(alone_in(FOLDER))
            empty(FOLDER)
            _picture(stack, chosen.seconds, chosen.rows, chosen.to)
    except (*REFUSED, *TROUBLE, MonitoringFailed) as error:
        print(paint(f"✗ {error}", Colour.RED))
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    print(f"  {chosen.to}, {chosen.to.stat().st_size // 1000} kB")
    return 0


def _picture(stack: ExitStack, seconds: float, rows: int, path: Path) -> None:
    with step("starting a private RabbitMQ node"):
        node = stack.enter_context(private_node(prometheus=True))
    with step(f"starting an SMTP server and {PROCESSES} consumer processes"):
        relay = stack.enter_context(mail_catcher(FOLDER / "Maildir"))
        consumers = stack.enter_context(consuming(node.url, relay.url, FOLDER, LADDER))
        consumers.wait_ready()
    with step("starting node_exporter and Prometheus"):
        prometheus = stack.enter_context(
            monitoring(
                FOLDER.resolve() / "prometheus",
                FOLDER.resolve() / "metrics",
                broker_port=node.prometheus_port,
            )
        )
    began = time.time()
    with step(f"sending mail for {seconds:.0f} s, a while of it without a relay"):
        _send(node.url, relay, seconds)
        time.sleep(LAST_WRITE_SECONDS)
    with step("drawing the dashboard"):
        span = Span(began, time.time(), step_seconds=2, rate_interval="20s")
        draw(_first(rows), _asking(prometheus, span), span, path)


def _first(rows: int) -> list[Panel]:
    """Return the panels of the first rows, with the rows' titles."""
    found: list[Panel] = []
    for panel in panels():
        rows -= panel.kind == "row"
        if rows < 0:
            break
        found.append(panel)
    return found


def _asking(prometheus: Prometheus, span: Span) -> Callable[[Panel], Answer]:
    return lambda panel: [found for query in panel.queries for found in query.ask(prometheus, span)]


def _send(url: str, relay: Relay, seconds: float) -> None:
    """Publish mail of every kind, at chance intervals; for a while the relay is away."""
    began = time.monotonic()
    with Publisher(url) as publisher:
        number = 0
        while (part := (time.monotonic() - began) / seconds) < 1:
            relay.is_away = AWAY[0] <= part < AWAY[1]
            _send_one(publisher, url, number)
            number += 1
            time.sleep(random.expovariate(MAILS_PER_SECOND))


def _send_one(publisher: Publisher, url: str, number: int) -> None:
    turn = number % TURNS
    if turn == BREACH:
        breach(publisher, url)
        return
    kind = KINDS.get(turn, Kind(("ada",)))
    for name in kind.names:
        for _ in range(kind.times):
            publisher.send(
                # Of a domain of its own: the relay defers an address once.
                to=f"{name}@n{number}.example.org",
                from_="app@example.org",
                subject="Hello",
                text="Hello",
                lane=kind.lane,
                message_id=f"picture-{number}-{name}",
            )


if __name__ == "__main__":
    sys.exit(main())
