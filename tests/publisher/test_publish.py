"""Publishing as a web app does it, to a real broker."""

import asyncio
import json
import re
import sys
import threading
import time
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

import publisher_lib
from publisher_lib import (
    Attachment,
    Email,
    InvalidEmail,
    Lane,
    NotPublished,
    Publisher,
    PublishError,
    PublishManyFailed,
    Receipt,
    Unroutable,
)
from tests.publisher.connections import connections
from tests.publisher.emails import QUEUE, as_mapping, email
from tests.support.broker import VirtualHost
from tests.support.consumer_process import wait_until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def ids(vhost: VirtualHost, queue: str = QUEUE) -> list[str]:
    return [message.properties.message_id for message in vhost.take_all(queue)]


def test_a_receipt_means_that_the_message_is_on_the_queue_with_its_properties(
    vhost: VirtualHost,
) -> None:
    vhost.declare_topology()
    before_ms = time.time_ns() // 1_000_000

    with Publisher(vhost.app_url, app_id="shop") as publisher:
        receipt = publisher.publish(email(7), message_id="order-4711", traceparent=TRACE)
    (message,) = vhost.take_all(QUEUE)

    assert receipt == Receipt("order-4711")
    assert json.loads(message.body) == json.loads(email(7).to_json())
    properties = message.properties
    assert properties.message_id == "order-4711"
    assert properties.type == "email.v1"
    assert properties.content_type == "application/json"
    assert properties.delivery_mode == 2
    assert properties.app_id == "shop"
    assert properties.user_id == f"webapp-{vhost.name}"
    assert before_ms <= message.headers["x-published-at-ms"] <= time.time_ns() // 1_000_000
    assert properties.timestamp == message.headers["x-published-at-ms"] // 1000
    assert message.headers["traceparent"] == TRACE


def test_a_message_id_is_made_where_none_is_given(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with Publisher(vhost.app_url) as publisher:
        receipts = [publisher.publish(as_mapping()) for _ in range(2)]

    made = [receipt.message_id for receipt in receipts]
    assert ids(vhost) == made
    assert len(set(made)) == 2
    assert all(
        re.fullmatch(r"[0-9a-f-]{13}-7[0-9a-f]{3}-[89ab][0-9a-f-]{16}", message_id)
        for message_id in made
    )


def test_send_makes_the_email_from_its_parts(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    moment = datetime(2030, 1, 1, tzinfo=UTC)

    with Publisher(vhost.app_url) as publisher:
        publisher.send(
            to=["ada@example.org", "bob@example.org"],
            from_="app@example.org",
            subject="Invoice",
            text="See attachment",
            html="<p>See attachment</p>",
            cc="cc@example.org",
            bcc="bcc@example.org",
            reply_to="help@example.org",
            attachments=[Attachment(filename="a.txt", content_type="text/plain", content="QQ==")],
            headers={"X-Kind": "invoice"},
            send_at=moment,
            expires_at=moment + timedelta(hours=1),
            if_uncertain="hold",
            lane=Lane.BULK,
        )
    (message,) = vhost.take_all("email.bulk.v1")

    assert json.loads(message.body) == {
        "email_to": ["ada@example.org", "bob@example.org"],
        "email_from": "app@example.org",
        "subject": "Invoice",
        "message": {"text": "See attachment", "html": "<p>See attachment</p>"},
        "cc": ["cc@example.org"],
        "bcc": ["bcc@example.org"],
        "reply_to": ["help@example.org"],
        "attachments": [{"filename": "a.txt", "content_type": "text/plain", "content": "QQ=="}],
        "headers": {"X-Kind": "invoice"},
        "send_at": "2030-01-01T00:00:00+00:00",
        "expires_at": "2030-01-01T01:00:00+00:00",
        "if_uncertain": "hold",
    }


def test_a_wrong_email_is_refused_with_every_violation_and_none_of_its_values() -> None:
    publisher = Publisher("amqp://nobody:pw@127.0.0.1:1/")
    wrong = as_mapping(email_to="no-mailbox", subject="secret\nBcc: eve@example.org", extra=1)

    with pytest.raises(InvalidEmail) as refusal:
        publisher.publish(wrong, message_id="m-1")

    error = refusal.value
    assert {pointer for pointer, _sentence in error.violations} == {
        "/email_to",
        "/subject",
        "/extra",
    }
    assert "addr@domain" in str(error)
    assert "no-mailbox" not in str(error)
    assert "secret" not in str(error)
    assert error.message_id == "m-1"
    assert error.__context__ is None
    assert isinstance(error, ValueError)
    assert publisher._submitter._confirmed._process().thread is None, (
        "nothing may be started for it"
    )


@pytest.mark.parametrize("message_id", ["", "a b", "a\r\nb", "ä", "x" * 201])
def test_a_message_id_outside_the_contract_is_refused(message_id: str) -> None:
    publisher = Publisher("amqp://nobody:pw@127.0.0.1:1/")

    with pytest.raises(InvalidEmail, match=r"properties\.message_id: must be 1 to 200 printable"):
        publisher.publish(email(), message_id=message_id)


def test_a_trace_that_is_none_is_refused() -> None:
    publisher = Publisher("amqp://nobody:pw@127.0.0.1:1/")

    with pytest.raises(InvalidEmail, match="W3C Trace Context"):
        publisher.publish(email(), traceparent="00-xyz")


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="app_id"):
        Publisher("amqp://a:b@localhost/", app_id="x" * 256)
    with pytest.raises(ValueError, match="timeout"):
        Publisher("amqp://a:b@localhost/", timeout=timedelta(seconds=-1))
    with pytest.raises(ValueError, match="same login"):
        Publisher("amqp://a:secret@localhost/,amqp://b:secret@localhost/")


def test_many_are_published_in_order_with_a_receipt_each(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with Publisher(vhost.app_url) as publisher:
        receipts = publisher.publish_many(email(number) for number in range(2_500))

    published = [receipt.message_id for receipt in receipts]
    assert len(set(published)) == 2_500
    assert ids(vhost) == published


def test_many_use_the_message_ids_given(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with Publisher(vhost.app_url) as publisher:
        receipts = publisher.publish_many([email(1), email(2)], message_ids=["a", "b"])
        with pytest.raises(ValueError, match="shorter"):
            publisher.publish_many([email(1), email(2)], message_ids=["a"])

    assert receipts == [Receipt("a"), Receipt("b")]


def test_many_stop_at_a_wrong_email_and_name_it_by_its_index(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    taken = count()

    def emails() -> object:
        for number in taken:
            yield as_mapping(subject="" if number == 5 else f"Message {number}")

    with Publisher(vhost.app_url) as publisher, pytest.raises(PublishManyFailed) as failed:
        publisher.publish_many(emails())  # type: ignore[arg-type]  # an iterable of mappings

    error = failed.value
    assert list(error.failures) == [5]
    assert isinstance(error.failures[5], InvalidEmail)
    assert sorted(error.receipts) == [0, 1, 2, 3, 4]
    assert next(taken) == 6, "nothing after the wrong one may be taken"
    assert str(error).startswith(
        "1 of 6 emails were not confirmed (those after number 5 were not taken); "
        "the first is number 5, InvalidEmail: "
    )
    assert ids(vhost) == [error.receipts[index].message_id for index in range(5)]


def test_many_stop_taking_emails_soon_after_the_broker_refused_one(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    vhost.broker.request("DELETE", f"queues/{vhost.name}/{QUEUE}")
    taken = count()

    with Publisher(vhost.app_url) as publisher, pytest.raises(PublishManyFailed) as failed:
        publisher.publish_many(email(number) for number in taken)

    error = failed.value
    assert not error.receipts
    assert len(error.failures) == next(taken) < 20_000
    assert {type(failure) for failure in error.failures.values()} == {Unroutable}
    assert error.message_id == error.failures[0].message_id


def test_the_future_of_publish_nowait_can_be_awaited_in_asyncio(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    async def publish(publisher: Publisher) -> list[Receipt]:
        return await asyncio.gather(
            *(asyncio.wrap_future(publisher.publish_nowait(email(number))) for number in range(50))
        )

    with Publisher(vhost.app_url) as publisher:
        receipts = asyncio.run(publish(publisher))

    assert sorted(ids(vhost)) == sorted(receipt.message_id for receipt in receipts)


def test_sixteen_threads_share_one_connection(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    receipts: list[Receipt] = []

    def work(publisher: Publisher) -> None:
        receipts.extend([publisher.publish(email(number)) for number in range(250)])

    with Publisher(vhost.app_url, app_id="sixteen") as publisher:
        threads = [threading.Thread(target=work, args=(publisher,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: connections(vhost, "sixteen"))
        listed = connections(vhost, "sixteen")

    published = [receipt.message_id for receipt in receipts]
    assert len(listed) == 1
    assert len(published) == 4_000
    assert sorted(ids(vhost)) == sorted(published)


def test_done_callbacks_may_publish_but_not_wait(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    followed: Future[Future[Receipt]] = Future()
    refusals: list[str] = []

    with Publisher(vhost.app_url) as publisher:

        def follow_up(_done: Future[Receipt]) -> None:
            for waiting in (
                lambda: publisher.publish(email()),
                lambda: publisher.publish_many([email()]),
                publisher.close,
            ):
                try:
                    waiting()
                except RuntimeError as error:
                    refusals.append(str(error))
            followed.set_result(publisher.publish_nowait(email(2), message_id="second"))

        publisher.publish_nowait(email(1), message_id="first").add_done_callback(follow_up)
        receipt = followed.result(10).result(10)

    assert receipt == Receipt("second")
    assert [refusal.partition("(")[0] for refusal in refusals] == [
        "publish",
        "publish_many",
        "close",
    ]
    assert ids(vhost) == ["first", "second"]


def test_close_flushes_and_then_nothing_is_published(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    publisher = Publisher(vhost.app_url)
    futures = [publisher.publish_nowait(email(number)) for number in range(300)]

    assert publisher.close() == 0
    assert publisher.close() == 0

    assert all(future.done() for future in futures)
    assert ids(vhost) == [future.result().message_id for future in futures]
    with pytest.raises(NotPublished, match="the publisher was closed"):
        publisher.publish(email())


def test_closing_what_was_never_used_is_fine_and_final() -> None:
    publisher = Publisher("amqp://nobody:pw@127.0.0.1:1/")

    assert publisher.close() == 0

    with pytest.raises(NotPublished, match="the publisher was closed"):
        publisher.publish(email())


def test_the_repr_says_where_to_and_no_password(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with Publisher([vhost.app_url, "amqps://webapp-" + vhost.name + ":pw@b"]) as publisher:
        before = repr(publisher)
        publisher.publish(email())
        after = repr(publisher)

    host, port = vhost.broker.host, vhost.broker.port
    brokers = (
        f"amqp://webapp-{vhost.name}@{host}:{port}/{vhost.name},amqps://webapp-{vhost.name}@b:5671/"
    )
    assert before == f"<Publisher {brokers} not connected>"
    assert after == f"<Publisher {brokers} connected>"


def test_everything_public_is_exported() -> None:
    assert all(hasattr(publisher_lib, name) for name in publisher_lib.__all__)
    assert issubclass(Unroutable, PublishError)
    assert isinstance(email(), Email)


def test_a_done_callback_that_exits_ends_nothing_but_itself(
    vhost: VirtualHost, caplog: pytest.LogCaptureFixture
) -> None:
    vhost.declare_topology()
    with Publisher(vhost.app_url) as publisher:
        first = publisher.publish_nowait(email(1))
        first.add_done_callback(lambda _done: sys.exit(3))
        first.result(10)

        assert publisher.publish(email(2)).message_id

    assert "the I/O loop failed" in caplog.text


def test_headers_changed_after_the_check_are_checked_again(vhost: VirtualHost) -> None:
    changed = Email.model_validate(email(1).model_dump() | {"headers": {"X-A": "fine"}})
    assert isinstance(changed.headers, dict)
    changed.headers["X-A"] = "x\r\nBcc: victim@example.org"

    with Publisher(vhost.app_url) as publisher, pytest.raises(InvalidEmail, match="/headers/X-A"):
        publisher.publish(changed)
