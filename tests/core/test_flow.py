"""What is under way: how much of each lane, and since when the oldest of it is owed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.core.delivery import Delivery, Properties
from consumer.core.flow import count_by_lane, oldest_by_lane
from consumer.core.trail import FIRST_PUBLISHED_MS
from publisher_lib.routing import PUBLISHED_AT_MS, Lane

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOW_SECONDS = 1000.0
OURS = frozenset({"hopmail"})


def delivery(
    lane: Lane = Lane.TRANSACTIONAL, received_seconds: float = NOW_SECONDS, **properties: Any
) -> Delivery:
    return Delivery(
        lane=lane,
        tag=1,
        generation=1,
        redelivered=False,
        properties=Properties(**properties),
        body=b"",
        received_seconds=received_seconds,
    )


def stamped(age_seconds: float, header: str = PUBLISHED_AT_MS) -> dict[str, int]:
    return {header: int((NOW.timestamp() - age_seconds) * 1000)}


def oldest(*deliveries: Delivery) -> dict[Lane, float]:
    """Return the age in seconds of each lane's oldest mail."""
    found = oldest_by_lane(deliveries, OURS, NOW, NOW_SECONDS)
    return {lane: NOW.timestamp() - moment for lane, moment in found.items()}


def test_deliveries_are_counted_by_lane() -> None:
    assert count_by_lane([delivery(), delivery(Lane.BULK), delivery()]) == {
        Lane.TRANSACTIONAL: 2,
        Lane.BULK: 1,
    }


def test_a_lane_without_mails_has_no_oldest() -> None:
    found = oldest_by_lane([delivery(Lane.BULK)], OURS, NOW, NOW_SECONDS)

    assert found == {Lane.TRANSACTIONAL: 0, Lane.BULK: NOW.timestamp()}


def test_the_oldest_is_the_one_that_was_published_first_whenever_it_came() -> None:
    mails = [delivery(headers=stamped(age)) for age in (5, 60, 30)]

    assert oldest(*mails)[Lane.TRANSACTIONAL] == pytest.approx(60)


def test_a_copy_that_had_to_wait_for_its_time_counts_from_its_arrival() -> None:
    headers = {**stamped(60), **stamped(7200, FIRST_PUBLISHED_MS)}
    copy = delivery(user_id="hopmail", received_seconds=NOW_SECONDS - 3, headers=headers)

    assert oldest(copy)[Lane.TRANSACTIONAL] == pytest.approx(3)


def test_an_app_cannot_make_a_mail_old_or_young() -> None:
    forged = delivery(user_id="webapp", headers={**stamped(5), **stamped(7200, FIRST_PUBLISHED_MS)})

    assert oldest(forged)[Lane.TRANSACTIONAL] == pytest.approx(5)


@pytest.mark.parametrize("headers", [{}, stamped(-60)], ids=["none", "ahead of our clock"])
def test_what_tells_no_moment_in_the_past_counts_from_its_arrival(headers: dict[str, int]) -> None:
    mail = delivery(received_seconds=NOW_SECONDS - 12, headers=headers)

    age = timedelta(seconds=oldest(mail)[Lane.TRANSACTIONAL])
    assert age == timedelta(seconds=12)
