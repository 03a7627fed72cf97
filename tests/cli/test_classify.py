"""`hopmail classify`: the consumer's own judgement of a relay's reply."""

import json
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest

from consumer.cli.classify import At
from consumer.core.outcome import InDoubt, Refused, Stage, Unreachable
from consumer.smtp.classify import outcome_of_reply, read_reply, unless
from tests.cli.inside import inside
from tests.support.certificates import Authority, authority
from tests.support.smtp_script import Event, say
from tests.support.smtp_server import smtp_server
from tests.support.transacting import transact


@pytest.fixture(scope="module")
def ca() -> Iterator[Authority]:
    with authority() as made:
        yield made


def classify(*arguments: str, **settings: str) -> dict[str, Any]:
    ended = inside("classify", "--json", *arguments, **settings)
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def test_it_says_what_becomes_of_the_mail_and_why() -> None:
    ended = inside("classify", "550 5.1.1 User unknown", "--stage", "rcpt")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        "outcome      refused",
        "disposition  dead_letter",
        "reason       refused",
        "breaker      stays as it is",
        "why          the relay refuses it for good (5yz), so to try again is pointless",
    ]


def test_a_retry_waits_as_the_ladder_of_the_settings_and_the_relay_have_it() -> None:
    greylisted = "450-4.7.1 Greylisted,\n450 4.7.1 try again in 5 minutes"

    found = classify(greylisted, "--attempt", "2", retry_delays="30s,2m,7m,1h")
    last = classify(greylisted, "--attempt", "5", retry_delays="30s,2m,7m,1h")
    old = classify(greylisted, "--age", "3h", max_age="2h")

    assert (found["disposition"], found["delay_seconds"], found["attempt"]) == ("retry", 420, 3)
    assert found["why"].endswith("after 7m, as the relay asks for 5m")
    short = classify(greylisted, retry_delays="30s,2m")
    assert short["why"].endswith("after 2m, the longest there is, though the relay asks for 5m")
    assert (last["disposition"], last["reason"]) == ("dead_letter", "attempts_exhausted")
    assert (old["disposition"], old["reason"]) == ("dead_letter", "too_old")


def test_the_relay_s_own_trouble_opens_the_breaker_and_spends_no_attempt() -> None:
    found = classify("535 5.7.8 Authentication credentials invalid", "--stage", "auth")

    told = found["outcome"], found["disposition"], found["opens_breaker"]
    assert told == ("unreachable", "pause", True)


def test_what_nobody_can_know_is_held_where_the_settings_say_so() -> None:
    odd = ("354 what?", "--stage", "end-of-data")

    assert classify(*odd)["disposition"] == "retry"
    held = classify(*odd, if_uncertain="hold")
    assert (held["outcome"], held["reason"]) == ("in_doubt", "in_doubt")


def test_a_step_that_is_done_decides_nothing() -> None:
    assert classify("250 2.1.5 Ok") == {
        "outcome": None,
        "disposition": None,
        "opens_breaker": False,
        "why": "the relay takes this step, and the conversation goes on: nothing is decided yet",
    }


def test_a_reply_comes_from_stdin_too() -> None:
    reply = "250-2.0.0 Ok:\r\n250 2.0.0 queued as 4711\r\n"
    ended = inside("classify", "-", "--stage", "END-OF-DATA", stdin=reply)

    assert ended.stdout.startswith("outcome      accepted\ndisposition  ack\n")


CODES = (
    *(200, 220, 235, 250, 251, 252, 299, 300, 334, 354, 399, 400, 421, 450, 451, 452, 454, 455),
    *(500, 501, 502, 503, 504, 530, 534, 535, 538, 550, 551, 552, 553, 554, 555, 571, 599),
)
NOT_MEANT = {(At.STARTTLS, 220), (At.AUTH, 334), (At.DATA, 354)}
"""What the server would not know that it had said."""
WORDS = ("5.7.1 no", "Ok", "4.7.1 in 5 minutes", "Error: Improper use of SMTP command pipelining")


@pytest.mark.parametrize("stage", [at for at in At if at is not At.CONNECT])
def test_a_consumer_makes_the_same_of_each_reply(ca: Authority, stage: At) -> None:
    said = ""

    def say_next(_argument: str) -> Event:
        return say(said)

    with smtp_server(
        {Stage[stage.name].name: say_next},
        starttls=ca.context(),
        cafile=ca.cafile,
        users={"app": "secret"},
        extensions=(),
    ) as server:
        for code, words in zip(CODES, cycle(WORDS), strict=False):
            said = f"{code} {words}"
            expected = outcome_of_reply(Stage[stage.name], *read_reply(said))
            if (stage, code) in NOT_MEANT:
                continue
            (outcome,) = set(transact(server.url_with("app:secret")).values())
            is_later = Stage[stage.name] < getattr(outcome, "stage", Stage.END_OF_DATA + 1)
            assert is_later if expected is None else outcome == expected, said


@pytest.mark.parametrize(
    ("stage", "reply", "exception"),
    [
        (Stage.STARTTLS, "454 4.7.0 TLS not available", "tls=opportunistic"),
        (Stage.MAIL, "530 5.7.0 log in", "taken our login since"),
        (Stage.MAIL, "421 4.4.2 idle", "a session kept"),
        (Stage.RCPT, "503 5.5.0 Error: pipelining", "offers PIPELINING"),
        (Stage.RCPT, "550 5.1.1 no pipelining here", ""),
        (Stage.RCPT, "530 5.7.0 log in", ""),
        (Stage.END_OF_DATA, "554 SMTP synchronization error", ""),
    ],
)
def test_what_went_before_may_make_another_thing_of_it(
    stage: Stage, reply: str, exception: str
) -> None:
    found = unless(stage, *read_reply(reply))

    assert exception in found
    assert bool(found) is bool(exception)


def test_a_relay_s_octets_need_not_be_utf_8() -> None:
    assert read_reply("550 caf\udce9") == (550, b"caf\xe9")


@pytest.mark.parametrize("text", ["", "hello", "99 x", "550 a\n551 b", "650 x"])
def test_what_is_no_reply_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"550 5\.1\.1 User unknown"):
        read_reply(text)


def test_a_refused_reply_says_what_one_is() -> None:
    ended = inside("classify", "user unknown")

    assert ended.returncode == 2
    assert "550 5.1.1 User unknown" in ended.stderr


@pytest.mark.parametrize(
    ("stage", "code", "kind"),
    [
        (Stage.GREETING, 220, None),
        (Stage.GREETING, 554, Unreachable),
        (Stage.EHLO, 250, None),
        (Stage.AUTH, 235, None),
        (Stage.AUTH, 503, Unreachable),
        (Stage.MAIL, 421, Refused),
        (Stage.MAIL, 530, Unreachable),
        (Stage.RCPT, 552, Refused),
        (Stage.RCPT, 354, Unreachable),
        (Stage.DATA, 354, None),
        (Stage.END_OF_DATA, 354, InDoubt),
    ],
)
def test_each_stage_is_judged_as_in_a_conversation(
    stage: Stage, code: int, kind: type[object] | None
) -> None:
    found = outcome_of_reply(stage, code, b"words")

    assert (None if found is None else type(found)) is kind
