"""`make demo`: six messages through RabbitMQ and an SMTP server, and what became of each."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pika.exceptions import AMQPError

from dev.cases import CASES
from dev.dead_letters import DeadLetters, looking
from dev.processes import INTERRUPTED, TERMINATED, Terminated, leave_on_signals
from dev.service import DEMO_LADDER, REFUSED, TROUBLE, Service, service
from dev.story import Story, differences, tell
from dev.terminal import Colour, paint, step
from publisher_lib import Publisher, PublishError

FOLDER: Final = Path(".state/demo")
DEAD_LETTERS: Final = FOLDER / "dead-letters"
FATES_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.1
LOG_TAIL: Final = 20

Stories = dict[str, Story]


def main() -> int:
    """Run the demo and return the exit code: 0 only if every fate was the expected one."""
    leave_on_signals()
    try:
        stories = _play()
    except REFUSED as error:
        print(paint(f"✗ {error}", Colour.RED))
        return 1
    except (*TROUBLE, PublishError, AMQPError) as error:
        return _failed([str(error) or type(error).__name__])
    except (KeyboardInterrupt, Terminated) as stopped:
        print(paint("✗ interrupted; nothing keeps running", Colour.RED))
        return TERMINATED if isinstance(stopped, Terminated) else INTERRUPTED
    print("", *tell(stories), "", *_where_to_look(), "", sep="\n")
    wrong = list(differences(stories))
    if wrong:
        return _failed(wrong)
    print(paint(f"✓ each of the {len(stories)} messages met the fate it should", Colour.GREEN))
    return 0


def _play() -> list[Story]:
    with service(FOLDER, DEMO_LADDER) as running:
        with step(f"publishing {len(CASES)} messages"), Publisher(running.amqp_url) as publisher:
            stories = {case.publish(publisher, running.amqp_url): Story(case) for case in CASES}
        with (
            step("waiting for their fates"),
            looking(
                running.amqp_url, lambda properties: properties.message_id in stories
            ) as letters,
        ):
            _wait(stories, running, letters)
        DEAD_LETTERS.mkdir()
        for letter in letters.found:
            letter.write(DEAD_LETTERS)
    _count_mails(stories, running)
    return list(stories.values())


def _wait(stories: Stories, running: Service, letters: DeadLetters) -> None:
    deadline = time.monotonic() + FATES_SECONDS
    while time.monotonic() < deadline and not all(story.is_over for story in stories.values()):
        letters.look(LOOK_SECONDS)
        for letter in letters.found:
            stories[letter.message_id].dead_letter = letter
        for line in running.consumers.new_lines():
            if line["event"] == "handled" and line.get("message_id") in stories:
                stories[line["message_id"]].handled.append(line)
        _count_mails(stories, running)


def _count_mails(stories: Stories, running: Service) -> None:
    taken = running.relay.message_ids()
    for message_id, story in stories.items():
        story.mails = taken[message_id]


def _where_to_look() -> Iterator[str]:
    yield f"  the mail           make mail, or as it came: cat {FOLDER}/Maildir/new/*"
    yield f"  the dead letters   cat {DEAD_LETTERS}/*.json"
    yield f"  the consumers' log cat {FOLDER}/consumer.log"


def _failed(lines: Sequence[str]) -> int:
    for line in lines:
        print(paint(f"✗ {line}", Colour.RED))
    log = FOLDER / "consumer.log"
    if log.exists():
        print(f"\n  the end of {log}:")
        for text in log.read_text(errors="replace").splitlines()[-LOG_TAIL:]:
            print(f"  │ {text}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
