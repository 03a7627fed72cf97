"""`hopmail classify`: the consumer's own judgement of a relay's reply."""

import json
import subprocess
import sys
from typing import Any

import pytest

from consumer.core.outcome import InDoubt, Refused, Stage, Unreachable
from consumer.smtp.classify import outcome_of_reply, read_reply
from tests.cli.command import ROOT, environment, hopmail


def classify(*arguments: str, **settings: object) -> dict[str, Any]:
    ended = hopmail("classify", "--json", *arguments, **settings)
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


def test_it_says_what_becomes_of_the_mail_and_why() -> None:
    ended = hopmail("classify", "550 5.1.1 User unknown", "--stage", "rcpt")

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
    ended = subprocess.run(
        [sys.executable, "-m", "consumer", "classify", "-", "--stage", "END-OF-DATA"],
        cwd=ROOT,
        env=environment(),
        input="250-2.0.0 Ok:\r\n250 2.0.0 queued as 4711\r\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.stdout.startswith("outcome      accepted\ndisposition  ack\n")


@pytest.mark.parametrize("text", ["", "hello", "99 x", "550 a\n551 b", "650 x"])
def test_what_is_no_reply_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"550 5\.1\.1 User unknown"):
        read_reply(text)


def test_a_refused_reply_says_what_one_is() -> None:
    ended = hopmail("classify", "user unknown")

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
