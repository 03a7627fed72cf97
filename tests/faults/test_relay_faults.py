"""The relay leaves in doubt, refuses, takes some recipients, is down, or is not to be trusted."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from consumer.core.topology import DEAD_QUEUE
from tests.faults.scene import Scene
from tests.faults.sink import AtDot, Pair, message_id_of
from tests.support.certificates import Authority, authority
from tests.support.consumer_process import wait_until
from tests.support.smtp_script import Event, say
from tests.support.smtp_server import SmtpServer, smtp_server

STAGES = ("MAIL", "RCPT", "DATA", "END_OF_DATA")
PASSWORD = "relay-password"


def accepted_by(server: SmtpServer) -> Counter[Pair]:
    """Return how often each recipient's copy of each message was taken."""
    return Counter(
        (message_id_of(mail.content), recipient)
        for mail in list(server.mails)
        for recipient in mail.recipients
    )


@pytest.fixture
def relay(scene: Scene) -> Iterator[SmtpServer]:
    """Have the scripted relay in place of the sink."""
    with smtp_server() as server:
        scene.relay_url = server.url
        scene.accepted = partial(accepted_by, server)
        yield server


def hang_up_once(scene: Scene, messages: int) -> None:
    """Have the relay take the first message's mails and hang up, each the first time."""
    due = {f"m-{number}" for number in range(messages)}

    def fate(message_id: str) -> AtDot:
        if message_id not in due:
            return AtDot.TAKE
        due.remove(message_id)
        scene.fault()
        return AtDot.TAKE_AND_HANG_UP

    scene.sink.at_dot = fate


@pytest.mark.fault_smoke
@pytest.mark.faults(20, "relay takes fifty mails without a word, resend")
def test_what_is_in_doubt_is_sent_again_and_counted(scene: Scene) -> None:
    hang_up_once(scene, 50)
    scene.publish(500)
    with scene.consumers(2):
        count = scene.finish()

    count.holds()
    assert count.duplicated.total() == count.in_doubt.total() == 50


@pytest.mark.fault_smoke
@pytest.mark.faults(20, "relay takes fifty mails without a word, hold")
def test_what_is_in_doubt_is_held_for_a_person(scene: Scene) -> None:
    hang_up_once(scene, 50)
    scene.publish(500)
    with scene.consumers(2, if_uncertain="hold"):
        count = scene.finish()

    count.holds()
    assert not count.duplicated
    assert list(count.dead.values()) == ["in_doubt"] * 50


@pytest.mark.faults(21, "4yz ten times at each stage")
def test_a_transient_refusal_at_any_stage_is_retried(scene: Scene, relay: SmtpServer) -> None:
    with scene.consumers(2):
        play_refusals(scene, relay, say("451 4.7.1 later"))
        count = scene.finish()

    count.holds()
    assert not count.dead
    assert not count.duplicated


@pytest.mark.faults(21, "5yz ten times at each stage")
def test_a_permanent_refusal_at_any_stage_is_a_dead_letter(scene: Scene, relay: SmtpServer) -> None:
    with scene.consumers(2):
        play_refusals(scene, relay, say("550 5.7.1 never"))
        count = scene.finish()

    count.holds()
    assert Counter(count.dead.values()) == {"refused": 10 * len(STAGES)}
    assert not count.duplicated
    told = Counter((dead.detail["stage"], dead.detail["code"]) for dead in scene.dead)
    assert told == {(stage, 550): 10 for stage in STAGES}


@pytest.mark.faults(21, "421 at each stage")
def test_a_relay_that_closes_at_any_stage_costs_nothing(scene: Scene, relay: SmtpServer) -> None:
    with scene.consumers(2):
        play_refusals(scene, relay, say("421 4.3.2 shutting down"), times=1)
        count = scene.finish()

    count.holds()
    assert not count.dead
    assert not count.duplicated


def play_refusals(scene: Scene, relay: SmtpServer, event: Event, times: int = 10) -> None:
    """Refuse at one stage after the other, and let as many mails pass beside them."""
    for stage in STAGES:
        events = [event] * times
        relay.script[stage] = lambda _argument, events=events: events.pop() if events else None  # type: ignore[misc]  # bound now
        scene.publish(20, stage)
        scene.fault()
        wait_until(lambda: not events, what=f"every refusal at {stage}")  # noqa: B023 - called at once
        relay.script.clear()


@pytest.mark.fault_smoke
@pytest.mark.faults(22, "of three recipients one is taken, one deferred, one refused")
def test_recipients_meet_their_fates_one_by_one(scene: Scene, relay: SmtpServer) -> None:
    deferred: set[str] = set()

    def fate(argument: str) -> Event | None:
        name = argument.partition("<")[2].partition(">")[0]
        if ".2@" in name:
            return say("550 5.1.1 no such person")
        if ".1@" in name and name not in deferred:
            deferred.add(name)
            return say("450 4.2.1 greylisted")
        return None

    relay.script["RCPT"] = fate
    scene.publish(100, recipients=3)
    scene.fault()
    with scene.consumers(2):
        count = scene.finish()

    count.holds()
    assert not count.duplicated
    assert Counter(recipient.partition("@")[0][-1] for _id, recipient in count.accepted) == {
        "0": 100,
        "1": 100,
    }
    assert {recipient.partition("@")[0][-1] for _id, recipient in count.dead} == {"2"}
    assert list(count.dead.values()) == ["refused"] * 100


@dataclass(frozen=True)
class Trouble:
    """How a relay is made useless for everybody, and mended."""

    begin: Callable[[SmtpServer, Authority], object]
    end: Callable[[SmtpServer, Authority], object]


def set_starttls(server: SmtpServer, relays: Authority, *, expired: bool = False) -> None:
    server.starttls = relays.context(expired=expired)


DOWN = Trouble(lambda server, _relays: server.stop(), lambda server, _relays: server.start())
UNKNOWN_LOGIN = Trouble(
    lambda server, _relays: setattr(server, "users", {"app": "another"}),
    lambda server, _relays: setattr(server, "users", {"app": PASSWORD}),
)
EXPIRED = Trouble(partial(set_starttls, expired=True), set_starttls)
STRIPPED = Trouble(lambda server, _relays: setattr(server, "starttls", None), set_starttls)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(DOWN, marks=pytest.mark.faults(23, "relay down")),
        pytest.param(UNKNOWN_LOGIN, marks=pytest.mark.faults(23, "relay refuses the login, 535")),
        pytest.param(EXPIRED, marks=pytest.mark.faults(23, "relay's certificate expired")),
        pytest.param(STRIPPED, marks=pytest.mark.faults(23, "STARTTLS stripped")),
    ],
)
def test_a_useless_relay_costs_no_mail_and_is_told_nothing(scene: Scene, trouble: Trouble) -> None:
    with (
        authority() as relays,
        smtp_server(
            starttls=relays.context(), cafile=relays.cafile, users={"app": PASSWORD}
        ) as server,
    ):
        scene.relay_url = server.url_with(f"app:{PASSWORD}")
        scene.accepted = partial(accepted_by, server)
        with scene.consumers(2) as crew:
            scene.publish(100, "before")
            scene.wait_for_mails(100)
            trouble.begin(server, relays)
            renew_sessions(server)
            scene.publish(200, "amid")
            wait_until(lambda: len(crew.events("relay in trouble")) >= 2, what="both breakers")
            assert sum(scene.accepted().values()) == 100
            trouble.end(server, relays)
            scene.fault()
            scene.publish(100, "after")
            count = scene.finish()

    count.holds()
    assert not count.dead
    assert not count.duplicated
    assert b"AUTH" not in server.plaintext
    assert b"MAIL" not in server.plaintext


def renew_sessions(server: SmtpServer) -> None:
    """Have every consumer come with a session of its own, which meets the trouble."""
    if server.open_sessions:
        server.drop_sessions()


DIES_OF_POISON = (
    "-c",
    """
import os
from consumer import attempt
from consumer.__main__ import main
compose = attempt.compose
def dying(email, *rest):
    if "poison" in email.subject:
        os.abort()
    return compose(email, *rest)
attempt.compose = dying
main()
""",
)


@pytest.mark.faults(24, "mail that aborts every process which composes it")
@pytest.mark.timeout(300)
def test_poison_is_a_dead_letter_and_its_neighbours_are_sent(scene: Scene) -> None:
    scene.publish(200, "before")
    scene.publish(1, "poison")
    scene.publish(200, "after")
    with scene.consumers(2, DIES_OF_POISON) as crew:
        scene.fault()
        # A stop amid this would be one more end of a process.
        wait_until(lambda: scene.vhost.queue_depth(DEAD_QUEUE) == 1, 200, "the dead letter")
        count = scene.finish()

    count.holds()
    assert crew.restarts == 5
    assert list(count.dead.values()) == ["poison"]
