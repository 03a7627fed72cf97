"""What the broker does not take: each message learns its own fate, and no other's."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pika
import pytest

from publisher_lib import (
    NotPublished,
    OutcomeUnknown,
    Publisher,
    PublishError,
    Rejected,
    Unroutable,
)
from publisher_lib.confirms import ConfirmedPublisher
from publisher_lib.outgoing import Outgoing
from publisher_lib.routing import EXCHANGE
from tests.publisher.emails import QUEUE, email
from tests.publisher.full_queue import FILLER, full_queue
from tests.support.broker import VirtualHost
from tests.support.consumer_process import wait_until

LANE = "transactional"


def properties(**more: Any) -> pika.BasicProperties:
    return pika.BasicProperties(**{"message_id": str(uuid.uuid4()), "delivery_mode": 2} | more)


@contextmanager
def confirmed(url: str, **limits: int) -> Iterator[ConfirmedPublisher]:
    publisher = ConfirmedPublisher((url,), **limits)  # type: ignore[arg-type]  # its limits only
    try:
        yield publisher
    finally:
        publisher.close(5)


def ids(vhost: VirtualHost, queue: str = QUEUE) -> list[str]:
    return [message.properties.message_id for message in vhost.take_all(queue)]


def test_without_a_queue_the_message_is_unroutable_and_the_cure_is_named(
    vhost: VirtualHost,
) -> None:
    vhost.declare_topology()
    vhost.broker.request("DELETE", f"queues/{vhost.name}/{QUEUE}")

    with Publisher(vhost.app_url) as publisher, pytest.raises(Unroutable) as error:
        publisher.publish(email(), message_id="m-1")

    assert error.value.message_id == "m-1"
    assert "312 NO_ROUTE" in str(error.value)
    assert "hopmail topology apply" in str(error.value)


def test_of_messages_with_the_same_id_only_the_unroutable_one_fails(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    same = properties(message_id="twice")

    with confirmed(vhost.url) as publisher:
        futures = [
            publisher.submit(EXCHANGE, key, same, body, 10)
            for key, body in [
                (LANE, b"one"),
                ("nowhere", b"one"),
                (LANE, b"two"),
                *[("nowhere", b"two")] * 50,
            ]
        ]
        kinds = [type(future.exception(10)) for future in futures]

    assert kinds == [type(None), Unroutable, type(None), *[Unroutable] * 50]
    assert [message.body for message in vhost.take_all(QUEUE)] == [b"one", b"two"]


def test_a_missing_exchange_rejects_every_message_with_the_brokers_words(
    vhost: VirtualHost,
) -> None:
    with Publisher(vhost.app_url) as publisher:
        futures = [publisher.publish_nowait(email(number)) for number in range(20)]
        errors = [future.exception(10) for future in futures]

    assert {type(error) for error in errors} == {Rejected}
    assert "404 NOT_FOUND - no exchange 'email'" in str(errors[0])
    assert str(errors[0]).endswith("; start the consumer, or run `hopmail topology apply`")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"user_id": "somebody-else"}, "406 PRECONDITION_FAILED - user_id property"),
        ({"expiration": "soon"}, "406 PRECONDITION_FAILED - invalid expiration"),
        ({"headers": {"x": "y" * 200_000}}, "501 FRAME_ERROR"),
        ({"app_id": "x" * 300}, "cannot be encoded (ShortStringTooLong)"),
    ],
)
def test_a_message_for_which_the_broker_closes_fails_alone(
    vhost: VirtualHost, wrong: dict[str, Any], words: str
) -> None:
    vhost.declare_topology()
    good = [properties() for _ in range(30)]

    with confirmed(vhost.url) as publisher:
        futures = [
            publisher.submit(EXCHANGE, LANE, sent, b"{}", None)
            for sent in [*good[:10], properties(**wrong), *good[10:]]
        ]
        errors = [future.exception(20) for future in futures]

    error = errors.pop(10)
    assert isinstance(error, Rejected)
    assert words in str(error)
    assert errors == [None] * 30
    assert set(ids(vhost)) == {sent.message_id for sent in good}


def test_a_single_refused_message_is_rejected(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with confirmed(vhost.url) as publisher:
        error = publisher.submit(EXCHANGE, LANE, properties(user_id="x"), b"", 10).exception(10)
        after = publisher.submit(EXCHANGE, LANE, properties(), b"{}", 10).exception(10)

    assert isinstance(error, Rejected)
    assert after is None


def test_without_the_right_to_write_the_message_is_rejected(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    reader = f"reader-{vhost.name}"
    vhost.broker.add_user(reader, vhost.name, "", "", "")
    try:
        url = vhost.broker.url(vhost.name, reader, "test-password")
        with Publisher(url) as publisher, pytest.raises(Rejected) as error:
            publisher.publish(email())
    finally:
        vhost.broker.request("DELETE", f"users/{reader}")

    assert "403 ACCESS_REFUSED" in str(error.value)


def test_an_exchange_that_goes_away_leaves_in_doubt_what_was_in_flight(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with confirmed(vhost.url) as publisher:
        publisher.submit(EXCHANGE, LANE, properties(), b"{}", 10).result(10)
        with vhost.channel() as channel:
            channel.exchange_delete(EXCHANGE)
        thread = publisher._process().thread
        assert thread is not None
        both_there = threading.Event()
        thread._call(lambda: wait_for(both_there))
        futures = [publisher.submit(EXCHANGE, LANE, properties(), b"{}", 10) for _ in range(2)]
        both_there.set()
        errors = [future.exception(10) for future in futures]

    assert {type(error) for error in errors} == {OutcomeUnknown}
    assert "went away while it was in flight" in str(errors[0])
    assert "404 NOT_FOUND" in str(errors[0])


def wait_for(event: threading.Event) -> None:
    assert event.wait(5)


def test_what_was_in_flight_beside_a_refused_message_may_have_been_taken(
    vhost: VirtualHost,
) -> None:
    vhost.declare_topology()

    with confirmed(vhost.url) as publisher:
        publisher.submit(EXCHANGE, LANE, properties(), b"{}", 10).result(10)
        thread = publisher._process().thread
        assert thread is not None
        refused = thread._courier.refused

        def refused_and_queue_gone(words: str, unanswered: list[Outgoing]) -> None:
            refused(words, unanswered)
            vhost.broker.request("DELETE", f"queues/{vhost.name}/{QUEUE}")
            thread._courier.refused = refused  # type: ignore[method-assign]  # once is enough

        thread._courier.refused = refused_and_queue_gone  # type: ignore[method-assign]  # the moment matters
        both_there = threading.Event()
        thread._call(lambda: wait_for(both_there))
        # The bad one first: the broker might answer a good one before it reads the bad one.
        bad, good = (
            publisher.submit(EXCHANGE, LANE, sent, b"{}", 10)
            for sent in (properties(expiration="soon"), properties())
        )
        both_there.set()
        errors = [good.exception(10), bad.exception(10)]

    assert [type(error) for error in errors] == [OutcomeUnknown, Rejected]
    assert "406 PRECONDITION_FAILED" in str(errors[0])
    assert "312 NO_ROUTE" in str(errors[0])


def test_a_done_callback_never_waits_for_room(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    followed: Future[list[Future[None]]] = Future()

    with confirmed(vhost.url, window=1) as publisher:

        def follow_up(_done: Future[None]) -> None:
            followed.set_result(
                [publisher.submit(EXCHANGE, LANE, properties(), b"{}", 10) for _ in range(3)]
            )

        first = publisher.submit(EXCHANGE, LANE, properties(), b"{}", 10)
        first.add_done_callback(follow_up)
        assert [future.exception(5) for future in followed.result(5)] == [None] * 3


def test_a_full_queue_is_tried_again_until_its_limit_is_lifted(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with Publisher(vhost.app_url) as publisher:
        with full_queue(vhost):
            future = publisher.publish_nowait(email(), message_id="patient")
            wait_until(lambda: nacks(publisher) >= 2, what="two refusals")
            assert not future.done()
        vhost.purge(QUEUE)
        receipt = future.result(10)

    assert receipt.message_id == "patient"
    assert ids(vhost) == ["patient"]


def nacks(publisher: Publisher) -> int:
    thread = publisher._submitter._confirmed._process().thread
    assert thread is not None
    return sum(outgoing.nacks for outgoing in list(thread._courier._open))


def test_a_queue_that_stays_full_rejects_at_the_deadline(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with full_queue(vhost), Publisher(vhost.app_url) as publisher:
        with pytest.raises(Rejected, match="the queue is full"):
            publisher.publish(email(), timeout=timedelta(seconds=2))
        with pytest.raises(Rejected, match="the queue is full"):
            publisher._submitter._confirmed.submit(
                EXCHANGE, LANE, properties(), b"{}", None
            ).result(5)

    assert {message.body for message in vhost.take_all(QUEUE)} == {FILLER}


def test_whoever_finds_the_window_full_waits_for_room(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    sent = [properties() for _ in range(100)]

    with confirmed(vhost.url, window=3, window_bytes=100) as publisher:
        futures = [
            publisher.submit(EXCHANGE, LANE, one, b"x" * (number * 2), 10)
            for number, one in enumerate(sent)
        ]
        assert [future.exception(10) for future in futures] == [None] * 100

    assert ids(vhost) == [one.message_id for one in sent]


def test_no_room_before_the_deadline_is_not_published() -> None:
    with confirmed("amqp://a:b@127.0.0.1:1/", window=1) as publisher:
        first = publisher.submit(EXCHANGE, LANE, properties(), b"{}", 0.5)
        late = publisher.submit(EXCHANGE, LANE, properties(), b"{}", 0.2).exception(0)
        first_error = first.exception(5)

    assert isinstance(late, NotPublished)
    assert "too many messages wait" in str(late)
    assert isinstance(first_error, PublishError)


def test_closing_sends_away_whoever_waits_for_room() -> None:
    with confirmed("amqp://a:b@127.0.0.1:1/", window=1) as publisher:
        publisher.submit(EXCHANGE, LANE, properties(), b"{}", None)
        errors: list[BaseException | None] = []

        def wait_for_room() -> None:
            errors.append(publisher.submit(EXCHANGE, LANE, properties(), b"{}", None).exception(5))

        waiting = threading.Thread(target=wait_for_room)
        waiting.start()
        left = publisher.close(0.1)
        waiting.join(5)

    assert left == 1
    assert [type(error) for error in errors] == [NotPublished]
    assert "closed" in str(errors[0])
