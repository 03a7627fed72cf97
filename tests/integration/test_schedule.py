"""An email is sent when its time has come, and never when it has gone."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.smtp_sink import smtp_sink


def email(**times: datetime) -> bytes:
    data: dict[str, Any] = {
        "email_to": "ada@example.org",
        "email_from": "app@example.org",
        "subject": "Hello",
        "message": {"text": "Hello"},
        **{name: moment.isoformat() for name, moment in times.items()},
    }
    return json.dumps(data).encode()


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_send_at_is_waited_for_on_the_ladder_without_spending_an_attempt(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    with smtp_sink(tmp_path / "sink") as sink, consuming(vhost.url, sink.url) as process:
        due = time.time() + 3.5
        vhost.publish_raw(email(send_at=in_seconds(3.5)), message_id="later")

        wait_until(lambda: sink.count() == 1, 20, "the mail")
        taken_at = time.time()

        assert taken_at >= due
        wait_until(lambda: process.handled("later")[-1]["disposition"] == "ack", what="its line")
        lines = process.handled("later")
        assert [line["attempt"] for line in lines] == [1] * len(lines)
        assert len(lines) > 1, "it waited on the broker, not in the process"
        assert {line["disposition"] for line in lines[:-1]} == {"retry"}


def test_an_expired_email_is_a_dead_letter_and_never_sent(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    with smtp_sink(tmp_path / "sink") as sink, consuming(vhost.url, sink.url):
        vhost.publish_raw(email(expires_at=in_seconds(-1)), message_id="stale")

        (dead,) = vhost.dead_letters(1)

        assert dead.headers["x-hopmail-reason"] == "expired"
        assert "expires_at" in dead.detail["text"]
        assert dead.headers["x-hopmail-pending"] == ["ada@example.org"]
        assert sink.count() == 0


def test_an_email_that_expires_while_it_waits_is_not_sent(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    with smtp_sink(tmp_path / "sink") as sink, consuming(vhost.url, sink.url):
        vhost.publish_raw(email(send_at=in_seconds(2.5), expires_at=in_seconds(1.5)))

        (dead,) = vhost.dead_letters(1)

        assert dead.headers["x-hopmail-reason"] == "expired"
        assert sink.count() == 0
