"""An email is sent neither before its time nor after it."""

from datetime import UTC, datetime, timedelta

import pytest

from consumer.core.freshness import not_now
from consumer.core.outcome import Expired, NotDue
from publisher_lib.message import Email

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def email(**times: datetime) -> Email:
    fields = {
        "email_to": "ada@example.org",
        "email_from": "app@example.org",
        "subject": "Hi",
        "message": {"text": "Hello"},
    }
    return Email.model_validate({**fields, **times})


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({}, None),
        ({"send_at": NOW}, None),
        ({"send_at": NOW - SECOND}, None),
        ({"send_at": NOW + SECOND}, NotDue(SECOND)),
        ({"expires_at": NOW + SECOND}, None),
        ({"expires_at": NOW}, Expired(NOW)),
        ({"expires_at": NOW - SECOND}, Expired(NOW - SECOND)),
        ({"send_at": NOW + SECOND, "expires_at": NOW}, Expired(NOW)),
    ],
)
def test_its_time_is_now_or_not(
    times: dict[str, datetime], expected: NotDue | Expired | None
) -> None:
    assert expected == not_now(email(**times), NOW)
