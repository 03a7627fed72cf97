"""`make run`: a Hopmail service to play with, until Ctrl-C."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from dev.processes import INTERRUPTED, leave_on_signals
from dev.relay import LATER, NOBODY
from dev.service import TROUBLE, Service, service
from dev.terminal import Colour, duration, paint

FOLDER: Final = Path(".state/run")
RETRY_DELAYS: Final = "2s,10s,1m"
POLL_SECONDS: Final = 0.2
COLOURS: Final = {
    "ack": Colour.GREEN,
    "retry": Colour.YELLOW,
    "dead_letter": Colour.RED,
    "pause": Colour.YELLOW,
}

GUIDE: Final = """
  RabbitMQ  {amqp_url}
  mail      lands in {folder}/Maildir/new, `make mail` shows it
  log       {folder}/consumer.log
  try also  {nobody}@… is refused with 550, {later}@… deferred once with 451

  Publish from another terminal: run .venv/bin/python and paste

    from publisher_lib import Publisher

    with Publisher("{amqp_url}") as publisher:
        publisher.send(
            to="you@example.org", from_="app@example.org",
            subject="Hello", text="It works.", html="<p>It works.</p>",
        )
"""


def main() -> int:
    """Run the service until a signal ends it, and return the exit code."""
    leave_on_signals()
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        with service(FOLDER, RETRY_DELAYS) as running:
            _attend(running)
    except TROUBLE as error:
        print(paint(f"✗ {error}", Colour.RED))
        print(f"  its log: {FOLDER}/consumer.log")
        return 1
    except KeyboardInterrupt:
        print(paint("✗ interrupted; nothing keeps running", Colour.RED))
        return INTERRUPTED
    return 0


def _attend(running: Service) -> None:
    print(GUIDE.format(amqp_url=running.amqp_url, folder=FOLDER, nobody=NOBODY, later=LATER))
    print(
        paint("  What the consumers handle shows here; Ctrl-C stops everything.", Colour.BOLD),
        end="\n\n",
        flush=True,  # `make run | tee` must show it too
    )
    try:
        while True:
            for line in running.consumers.new_lines():
                if line["event"] == "handled":
                    print(*_words(line), sep="  ", flush=True)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        print()


def _words(line: dict[str, Any]) -> Iterator[str]:
    yield f"  {line['timestamp'][11:19]}"
    yield paint(f"{line['outcome']:<11}", COLOURS[line["disposition"]])
    yield f"attempt {line['attempt']}"
    yield ", ".join(line["to"]) or "nobody"
    if (latency := line.get("latency_seconds")) is not None:
        yield duration(latency)
    if (delay := line.get("delay_seconds")) is not None:
        yield f"again in {delay:.0f} s"
    if (reason := line.get("reason")) is not None:
        yield f"dead letter: {reason}"
    yield from _answer(line)
    yield str(line.get("message_id", ""))


def _answer(line: dict[str, Any]) -> Iterator[str]:
    if line["disposition"] != "ack" and "code" in line:
        yield f"{line['stage']} {line['code']} {line.get('text', '')}"


if __name__ == "__main__":
    sys.exit(main())
