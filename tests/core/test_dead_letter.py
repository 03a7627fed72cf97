"""What a dead letter tells of itself, whoever put it there."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.dead_body import OUTLINED, BodyState, SealedBody
from consumer.core.dead_letter import (
    DeadLetter,
    identity,
    read_dead_letter,
    trail_of,
)
from consumer.core.death import lane_of
from consumer.core.delivery import Delivery, Properties
from consumer.core.disposition import DeadLetter as ToTheDead
from consumer.core.disposition import Reason
from consumer.core.followup import followups
from consumer.core.handled import Verdict
from consumer.core.outcome import Refused, Reply, Stage
from consumer.core.trail import Trail, trail_headers
from publisher_lib.routing import Lane

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)
DIED = NOW - timedelta(hours=2)
FIRST = NOW - timedelta(hours=3)
TRUSTED = frozenset({"hopmail"})
BODY = json.dumps(
    {
        "email_to": ["ada@example.org", "bob@example.com"],
        "email_from": "app@example.org",
        "subject": "Hi",
        "message": {"text": "Hello"},
    }
).encode()
MOVED: dict[str, Any] = {
    "x-death": [
        {"queue": "email.bulk.v1", "reason": "delivery_limit", "count": 1, "time": DIED},
        {"queue": "email.bulk.retry.30s.v1", "reason": "expired", "count": 2},
        "odd",
    ]
}


def delivery(headers: dict[str, Any], body: bytes = BODY, **properties: Any) -> Delivery:
    known: dict[str, Any] = {"message_id": "m-1", "user_id": "hopmail", "type": "email.v1"}
    return Delivery(
        lane=lane_of(headers),
        tag=1,
        generation=0,
        redelivered=False,
        properties=Properties(headers=headers, **known | properties),
        body=body,
        received_seconds=0.0,
    )


def ours(trail: Trail | None = None) -> Delivery:
    """A dead letter of the consumer's, as it writes them."""
    trail = trail or Trail(3, FIRST, ("bob@example.com",), "webapp")
    verdict = Verdict(
        ("bob@example.com",),
        Refused(Stage.RCPT, Reply(550, "5.1.1", "nobody here")),
        ToTheDead(Reason.REFUSED),
    )
    (followup,) = followups(delivery({}), trail, [verdict], DIED)
    return delivery(dict(followup.headers), app_id="shop")


def read(found: Delivery, trusted: frozenset[str] = TRUSTED) -> DeadLetter:
    return read_dead_letter(found, trusted, NOW)


def test_one_of_ours_tells_all_that_is_known() -> None:
    letter = read(ours())

    assert (letter.message_id, letter.login, letter.signer) == ("m-1", "webapp", "hopmail")
    assert (letter.reason, letter.lane, letter.attempt) == ("refused", Lane.TRANSACTIONAL, 3)
    assert letter.told == ("RCPT 550 5.1.1 nobody here",)
    assert (letter.published_at, letter.died_at) == (FIRST, DIED)
    assert letter.recipients == ("bob@example.com",)
    assert letter.domains == ("example.com",)
    assert letter.is_trusted
    assert letter.size == len(BODY)
    assert letter.deaths == {}


def test_one_that_rabbitmq_moved_tells_by_its_x_death() -> None:
    letter = read(delivery(MOVED, user_id="webapp", timestamp_seconds=int(FIRST.timestamp())))

    assert (letter.reason, letter.lane) == ("rabbitmq_delivery_limit", Lane.BULK)
    assert (letter.login, letter.signer, letter.is_trusted) == ("webapp", "webapp", True)
    assert (letter.published_at, letter.died_at) == (FIRST, DIED)
    assert letter.recipients == ("ada@example.org", "bob@example.com")
    assert letter.deaths == {
        "email.bulk.v1: delivery_limit": 1,
        "email.bulk.retry.30s.v1: expired": 2,
    }
    assert letter.told == ()


@pytest.mark.parametrize("moment", [DIED.replace(tzinfo=None), str(DIED)])
def test_its_moment_may_come_without_a_zone_or_from_an_export(moment: object) -> None:
    moved = {"x-death": [{"queue": "email.bulk.v1", "reason": "expired", "time": moment}]}

    assert read(delivery(moved)).died_at == DIED


@pytest.mark.parametrize("headers", [{}, {"x-death": 7}, {"x-death": [{"time": "soon"}]}])
def test_one_that_tells_nothing_is_unknown(headers: dict[str, Any]) -> None:
    letter = read(delivery(headers, b"{", message_id=None, user_id=None))

    assert (letter.reason, letter.lane, letter.login) == ("unknown", Lane.TRANSACTIONAL, "")
    assert (letter.died_at, letter.published_at, letter.message_id) == (None, None, None)
    assert letter.recipients == letter.domains == ()


def test_a_clock_ahead_of_ours_counts_as_now() -> None:
    ahead = {"x-hopmail-last-attempt-ms": int(NOW.timestamp() * 1000) + 5000}

    assert read(delivery(ahead)).died_at == NOW


def test_a_reason_alone_is_a_claim_too() -> None:
    """An app's message that RabbitMQ moved keeps what headers the app gave it."""
    letter = read(delivery(MOVED | {"x-hopmail-reason": "in_doubt"}, user_id="webapp"))

    assert (letter.reason, letter.is_trusted) == ("in_doubt", False)


@pytest.mark.parametrize("signer", [None, "stranger"])
def test_what_nobody_trusted_signed_only_claims(signer: str | None) -> None:
    found = ours()
    found = replace(found, properties=replace(found.properties, user_id=signer))

    letter = read(found)

    assert not letter.is_trusted
    assert (letter.login, letter.attempt) == ("webapp", 3)
    assert trail_of(found, TRUSTED, NOW).attempt == 1
    assert trail_of(found, TRUSTED, NOW, believe=True).attempt == 3
    assert read(found, frozenset({"stranger"})).is_trusted is (signer is not None)


def test_breaches_are_told_one_by_one() -> None:
    detail = {"violations": [{"pointer": "/subject", "message": "is required"}, {}, 7]}
    broken = {"x-hopmail-detail": json.dumps(detail)}

    assert read(delivery(broken)).told == ("/subject is required", "the body None")


@pytest.mark.parametrize("detail", ["{", "7", 7, None])
def test_a_detail_that_is_none_tells_nothing(detail: object) -> None:
    assert read(delivery({"x-hopmail-detail": detail})).told == ()


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (OUTLINED + b'"bytes":1}', BodyState.REDACTED),
        (SealedBody(b"1234", b"box").to_bytes(), BodyState.ENCRYPTED),
        (BODY, BodyState.KEPT),
    ],
)
def test_its_body_tells_by_itself_what_it_is(body: bytes, state: BodyState) -> None:
    assert read(delivery({"x-hopmail-body": "odd"}, body)).body is state


def test_two_dead_letters_of_one_message_have_ids_of_their_own() -> None:
    trail = Trail(4, FIRST, ("bob@example.com",), "webapp")
    others = [
        ours(),
        ours(trail),
        ours(replace(trail, epoch=1)),
        delivery({}),
        delivery({}, b"{}"),
        delivery({}, message_id="m-2"),
        delivery({}, user_id="webapp"),
    ]

    assert len({identity(each) for each in others}) == len(others)


def test_its_id_stays_however_often_it_is_given_back() -> None:
    found = ours()
    headers = dict(found.properties.headers) | {"x-delivery-count": 7, "x-acquired-count": 8}

    again = replace(found, properties=replace(found.properties, headers=headers))

    assert identity(again) == identity(found)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *trail_headers(Trail(1, NOW, ("a",), "b", 1, 1, NOW)),
                "x-hopmail-reason",
                "x-hopmail-detail",
                "x-hopmail-lane",
                "x-hopmail-last-attempt-ms",
                "x-death",
            ]
        ),
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.text()
        | st.binary()
        | st.lists(st.text() | st.dictionaries(st.text(), st.datetimes())),
    ),
    st.binary(),
)
def test_whatever_lies_there_can_be_looked_at(headers: dict[str, Any], body: bytes) -> None:
    found = delivery(headers, body)

    assert read(found).id == identity(found)
