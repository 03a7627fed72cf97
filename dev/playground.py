"""`make run`: a Hopmail service to play with, until Ctrl-C or SIGTERM."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pika.exceptions import AMQPError

from consumer.amqp.connection import BrokerUnavailable
from consumer.core.topology import DEAD_QUEUE
from dev.consumers import SETTINGS, ConsumersFailed
from dev.dead_letters import Keeper
from dev.given_broker import VARIABLE, without_password
from dev.hang_up import HUNG_UP, Terminal
from dev.processes import INTERRUPTED, TERMINATED, Terminated, leave_on_signals
from dev.relay import LATER, NOBODY
from dev.service import REFUSED, RUN_LADDER, TROUBLE, Service, service
from dev.terminal import Colour, duration, paint

FOLDER: Final = Path(".state/run")
DEAD_LETTERS: Final = FOLDER / "dead-letters"
POLL_SECONDS: Final = 0.2
COLOURS: Final = {
    "ack": Colour.GREEN,
    "retry": Colour.YELLOW,
    "dead_letter": Colour.RED,
    "pause": Colour.YELLOW,
}

GUIDE: Final = """
  RabbitMQ      {shown_url}
  relay         {relay_url}
  mail          lands in {folder}/Maildir/new, `make mail` shows it
  dead letters  show here, stay in {dead_queue}, and are copied to {dead_letters}/*.json
  log           {folder}/consumer.log
  see also      . {folder}/{settings}; .venv/bin/hopmail status
  try also      {nobody}@… is refused with 550, {later}@… deferred once with 451

  Publish from another terminal{with_variable}: run .venv/bin/python and paste

{imports}

with Publisher({url}) as publisher:
    publisher.send(
        to="you@example.org", from_="app@example.org",
        subject="Hello", text="It works.", html="<p>It works.</p>",
    )

"""


def main() -> int:
    """Run the service until a signal ends it, and return the exit code."""
    leave_on_signals()
    terminal = Terminal()
    try:
        with service(FOLDER, RUN_LADDER) as running:
            _attend(running, terminal)
    except (*REFUSED, *TROUBLE) as error:
        print(paint(f"✗ {error}", Colour.RED))
        if isinstance(error, ConsumersFailed):
            print(f"  their log: {FOLDER}/consumer.log")
        return 1
    except (KeyboardInterrupt, Terminated) as stopped:
        print(paint("✗ interrupted; nothing keeps running", Colour.RED))
        return TERMINATED if isinstance(stopped, Terminated) else INTERRUPTED
    return 0


def _attend(running: Service, terminal: Terminal) -> None:
    keeper = Keeper(running.amqp_url, DEAD_LETTERS)
    print(_guide(running))
    print(
        paint("  What the consumers handle shows here; Ctrl-C stops everything.", Colour.BOLD),
        end="\n\n",
        flush=True,  # `make run | tee` must show it too
    )
    try:
        while not terminal.is_gone():
            lines = [line for line in running.consumers.new_lines() if line["event"] == "handled"]
            for line in lines:
                print(*_words(line), sep="  ", flush=True)
            if any("dead_letter" in _dispositions(line) for line in lines):
                print(*_dead_letters(keeper), sep="\n", end="", flush=True)
            time.sleep(POLL_SECONDS)
    except (KeyboardInterrupt, Terminated):
        print()
    else:
        sys.exit(HUNG_UP)


def _guide(running: Service) -> str:
    given = bool(running.given_url)
    return GUIDE.format(
        # A password that was given is not for the screen.
        shown_url=without_password(running.given_url) if given else running.amqp_url,
        with_variable=f", with {VARIABLE} set there too" if given else "",
        imports="import os\nfrom publisher_lib import Publisher"
        if given
        else "from publisher_lib import Publisher",
        url=f'os.environ["{VARIABLE}"]' if given else f'"{running.amqp_url}"',
        relay_url=running.relay.url,
        folder=FOLDER,
        settings=SETTINGS,
        dead_queue=DEAD_QUEUE,
        dead_letters=DEAD_LETTERS,
        nobody=NOBODY,
        later=LATER,
    )


def _words(line: dict[str, Any]) -> Iterator[str]:
    yield f"  {line['timestamp'][11:19]}"
    yield paint(f"{_outcome(line):<11}", COLOURS[line["disposition"]])
    yield f"attempt {line['attempt']}"
    yield ", ".join(line["to"]) or "no recipient readable"
    if (latency := line.get("latency_seconds")) is not None:
        yield duration(latency)
    if (delay := line.get("delay_seconds")) is not None:
        yield f"again in {delay:.0f} s"
    if (reason := line.get("reason")) is not None:
        yield f"dead letter: {reason}"
    yield from _answer(line)
    yield str(line.get("message_id", ""))


def _outcome(line: dict[str, Any]) -> str:
    """Name the outcome, or each that some of the recipients had."""
    verdicts = line.get("verdicts", ())
    parts = (f"{verdict['recipients']} {verdict['outcome']}" for verdict in verdicts)
    return ", ".join(parts) or str(line["outcome"])


def _dispositions(line: dict[str, Any]) -> set[str]:
    """Return what was done; recipients who fared differently have a verdict each."""
    return {verdict["disposition"] for verdict in line.get("verdicts", [line])}


def _dead_letters(keeper: Keeper) -> Iterator[str]:
    try:
        for letter, path in keeper.keep():
            yield f"    {paint('dead letter', Colour.RED)} {letter.message_id}"
            yield from (f"      {line}" for line in letter.lines())
            yield f"      kept in  {path}"
    except (BrokerUnavailable, AMQPError) as error:
        yield f"    the dead letters cannot be looked at: {error or type(error).__name__}"
    yield ""


def _answer(line: dict[str, Any]) -> Iterator[str]:
    if line["disposition"] != "ack" and "code" in line:
        yield f"{line['stage']} {line['code']} {line.get('text', '')}"


if __name__ == "__main__":
    sys.exit(main())
