"""How long relays ask to wait, in the shapes that they say it."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.decide import RetryPolicy, decide
from consumer.core.disposition import Retry
from consumer.core.outcome import Refused, Reply, Stage
from consumer.core.retry_after import retry_after

LADDER = tuple(timedelta(seconds=s) for s in (30, 120, 600, 1800, 3600, 7200, 14400))
POLICY = RetryPolicy(LADDER, timedelta(days=5))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Client host rejected: greylisted, please try again in 5 minutes", 300),
        ("<ann@x.org>: Recipient address rejected: Greylisted for 300 seconds (see http://x)", 300),
        ("Greylisting in action, please come back in 00:05:00", 300),
        ("Greylisted for 5 minutes", 300),
        ("graylisted, retry in 1 hour", 3600),
        ("grey-listed: wait 1 min", 60),
        ("too busy, retry in 300 seconds", 300),
        ("Retry after 300s", 300),
        ("Server busy. Please try again in 10 Minutes.", 600),
        ("Please wait 1 hour and 30 minutes before sending more", 5400),
        ("try again in 4 minutes, 12 seconds", 252),
        ("Try again in 1h 5m", 3900),
        ("deferred 2 hrs", 7200),
        ("come back in 2 days", 172_800),
        ("try again after 90 sec", 90),
    ],
)
def test_a_wait_is_read(text: str, seconds: int) -> None:
    assert retry_after(Reply(450, "4.7.1", text)) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "try again later",
        "Greylisted, see http://postgrey.schweikert.ch/help/example.com.html",
        "rate limit of 100 messages per 60 minutes exceeded",
        "too many connections, limit 10; 5 minutes is our timeout",
        "not again. 5 minutes ago all was well",
        "you sent 20 messages in 1 hour, try again later",
        "may be sent again: 20 messages in 1 hour",
        "wait 5 mails",
        "try again in 12:00",
        "try again in 1234567 seconds",
        "backup 5 minutes",
        "try again in 5minutesx",
    ],
)
def test_what_names_no_wait_asks_for_none(text: str) -> None:
    assert retry_after(Reply(450, "4.7.1", text)) == timedelta()


@given(st.text(alphabet="again retry wait 0123456789:.;,smhd", max_size=300))
def test_any_words_ask_for_a_wait_that_is_finite(text: str) -> None:
    assert retry_after(Reply(450, "", text)) >= timedelta()


@pytest.mark.parametrize(
    ("attempt", "text", "delay"),
    [
        (1, "later", 30),
        (1, "try again in 30 seconds", 30),
        (1, "try again in 31 seconds", 120),
        (1, "try again in 5 minutes", 600),
        (3, "try again in 5 minutes", 600),
        (4, "try again in 5 minutes", 1800),
        (1, "try again in 2 days", 14400),
        (7, "try again in 5 minutes", 14400),
    ],
)
def test_a_retry_waits_for_the_first_step_that_is_long_enough(
    attempt: int, text: str, delay: int
) -> None:
    for stage in (Stage.MAIL, Stage.RCPT, Stage.END_OF_DATA):
        outcome = Refused(stage, Reply(450, "4.7.1", text))

        decided = decide(outcome, attempt, timedelta(seconds=1), POLICY)

        assert decided == Retry(timedelta(seconds=delay), attempt + 1)


def test_only_the_recipient_who_is_told_to_wait_waits_longer() -> None:
    told = Refused(Stage.RCPT, Reply(450, "4.7.1", "greylisted, try again in 5 minutes"))
    other = Refused(Stage.RCPT, Reply(450, "4.2.1", "busy"))

    decided = [decide(outcome, 1, timedelta(), POLICY) for outcome in (told, other)]

    assert decided == [Retry(timedelta(minutes=10), 2), Retry(timedelta(seconds=30), 2)]
