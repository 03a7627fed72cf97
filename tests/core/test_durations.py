"""Durations in words."""

from datetime import timedelta

import pytest

from consumer.core.durations import spell_duration


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(days=20, hours=4), "20d4h"),
        (timedelta(days=7), "7d"),
        (timedelta(minutes=1, seconds=30), "1m30s"),
        (timedelta(0), "0s"),
    ],
)
def test_a_duration_is_spelt_in_all_its_units(duration: timedelta, text: str) -> None:
    assert spell_duration(duration) == text
