"""What earlier attempts left is read back as it was written, and not believed from an app."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.delivery import Properties
from consumer.core.trail import OURS as TRAIL
from consumer.core.trail import Trail, forged, read_trail, trail_headers

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
OURS = frozenset({"hopmail"})


@given(
    st.integers(1, 1000),
    st.tuples(st.integers(0, 5), st.none() | st.integers(1, 1000)),
    st.datetimes(datetime(2020, 1, 1), datetime(2026, 11, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants naive bounds
    st.none() | st.lists(st.emails(), min_size=1).map(tuple),
    st.none() | st.text(min_size=1, max_size=20),
)
def test_a_trail_survives_the_headers(
    attempt: int,
    again: tuple[int, int | None],
    first: datetime,
    pending: tuple[str, ...] | None,
    login: str | None,
) -> None:
    epoch, replayed = again
    whole_ms = first.replace(microsecond=first.microsecond // 1000 * 1000)
    later = whole_ms + timedelta(days=2)
    trail = Trail(
        attempt, whole_ms, pending, login, epoch, replayed or 0, later if replayed else None
    )

    headers = trail_headers(trail)
    read = read_trail(Properties(user_id="hopmail", headers=headers), OURS, NOW)

    assert trail.generation == read.generation
    assert trail.pending == read.pending
    assert trail.login == read.login
    assert trail.replayed == read.replayed
    assert abs(trail.asked_for - read.asked_for) <= timedelta(milliseconds=1)
    assert abs(trail.first_published - read.first_published) <= timedelta(milliseconds=1)


@pytest.mark.parametrize("user_id", [None, "webapp"])
def test_an_app_cannot_forge_a_trail(user_id: str | None) -> None:
    forged = trail_headers(Trail(7, NOW - timedelta(days=1), ("other@example.org",), "boss"))

    read = read_trail(Properties(user_id=user_id, headers=forged), OURS, NOW)

    assert Trail(1, NOW, None, user_id) == read


@pytest.mark.parametrize("user_id", [None, "webapp"])
@pytest.mark.parametrize("name", TRAIL)
def test_a_trail_that_nobody_trusted_has_signed_is_refused(name: str, user_id: str | None) -> None:
    wrong = forged(Properties(user_id=user_id, headers={name: 0}), OURS)

    assert wrong is not None
    (violation,) = wrong.violations
    assert violation.pointer == f"properties.headers.{name}"
    assert (user_id or "no login") in violation.message
    assert "HOPMAIL_OPERATOR_LOGINS" in violation.message


@pytest.mark.parametrize(
    "properties",
    [
        Properties(user_id="hopmail", headers=trail_headers(Trail(2, NOW, None, "webapp"))),
        Properties(user_id="webapp", headers={"x-published-at-ms": 1, "x-hopmail-reason": "mine"}),
        Properties(),
    ],
)
def test_our_own_trail_and_none_at_all_are_fine(properties: Properties) -> None:
    assert forged(properties, OURS) is None


def test_the_first_publish_is_taken_from_milliseconds_before_whole_seconds() -> None:
    published = datetime(2026, 11, 24, 11, 59, 59, 250_000, tzinfo=UTC)
    headers = {"x-published-at-ms": int(published.timestamp() * 1000)}

    read = read_trail(Properties(headers=headers, timestamp_seconds=1_000_000_000), OURS, NOW)

    assert published == read.first_published


def test_without_milliseconds_the_timestamp_property_counts() -> None:
    read = read_trail(Properties(timestamp_seconds=1_700_000_000), OURS, NOW)

    assert datetime.fromtimestamp(1_700_000_000, UTC) == read.first_published


@pytest.mark.parametrize("claimed", [None, "soon", True, -5, 0, 2**62, 1.5])
def test_a_time_that_is_none_or_lies_ahead_counts_as_now(claimed: Any) -> None:
    read = read_trail(Properties(headers={"x-published-at-ms": claimed}), OURS, NOW)

    assert read.first_published == NOW


@pytest.mark.parametrize("attempt", ["2", 0, -1, None])
def test_a_broken_attempt_counts_as_the_first(attempt: Any) -> None:
    headers = {"x-hopmail-attempt": attempt, "x-hopmail-pending": "a@example.org"}

    read = read_trail(Properties(user_id="hopmail", headers=headers), OURS, NOW)

    assert (read.attempt, read.pending, read.login) == (1, None, "hopmail")


@pytest.mark.parametrize("given", [0, -1, 10**30, 2**63 - 1, "2", 2.0, None])
def test_an_attempt_or_epoch_that_is_none_of_ours_counts_as_the_first(given: object) -> None:
    headers = {"x-hopmail-attempt": given, "x-hopmail-epoch": given}

    read = read_trail(Properties(user_id="hopmail", headers=headers), OURS, NOW)

    assert read.generation == (0, 1)


def test_nobody_pending_means_that_nothing_is_known() -> None:
    headers: dict[str, list[str]] = {"x-hopmail-pending": []}

    assert read_trail(Properties(user_id="hopmail", headers=headers), OURS, NOW).pending is None


def test_no_login_stays_none_over_a_copy_that_ours_signs() -> None:
    headers = trail_headers(Trail(1, NOW, None, None))

    assert read_trail(Properties(user_id="hopmail", headers=headers), OURS, NOW).login is None
