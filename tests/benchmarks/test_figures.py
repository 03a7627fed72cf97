import pytest

from benchmarks.figures import Spread, TooShort, percentile, rate, ratios, reached, spread

# 100 mails before; 1000 come: the first 100 in a second, the other 900 in three.
TIMELINE = [(10.0, 100), (11.0, 200), (12.5, 700), (14.0, 1100), (15.0, 1100)]


def test_a_rate_leaves_out_the_first_tenth() -> None:
    assert rate(TIMELINE, before=100, count=1000) == pytest.approx(900 / 3)


def test_a_rate_counts_from_the_look_at_which_the_tenth_was_there() -> None:
    late_look = [(10.0, 0), (12.0, 400), (15.0, 1000)]

    assert rate(late_look, before=0, count=1000) == pytest.approx(600 / 3)


def test_what_comes_after_the_last_one_does_not_count() -> None:
    assert rate([*TIMELINE, (99.0, 5000)], 100, 1000) == rate(TIMELINE, 100, 1000)


def test_mails_that_come_between_two_looks_cannot_be_timed() -> None:
    with pytest.raises(TooShort, match="all of 1000 mails"):
        rate([(10.0, 0), (10.1, 1000)], before=0, count=1000)


def test_a_count_is_reached_at_the_first_look_that_finds_as_many() -> None:
    assert reached(TIMELINE, 201) == (12.5, 700)
    assert reached(TIMELINE, 1100) == (14.0, 1100)


def test_a_spread_has_the_median_and_the_range() -> None:
    assert spread([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0)


def test_ratios_are_of_samples_of_the_same_round() -> None:
    # The machine was twice as fast in the second round; it is no matter.
    assert ratios([100.0, 200.0], [10.0, 20.0]) == Spread(10.0, 10.0, 10.0)


def test_ratios_need_as_many_rounds_of_both() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)]
)
def test_a_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], share) == expected


def test_the_percentile_of_one_value_is_that() -> None:
    assert percentile([7.0], 0.99) == 7.0
