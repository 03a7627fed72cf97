import pytest

from benchmarks.figures import Spread
from benchmarks.goals import GOALS, Goal

FLOOR = Goal("as fast", least=10, aim=15)
CEILING = Goal("as slow", least=2, aim=1.3, is_ceiling=True)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (20.0, "✓ 100% above it, aim met"),
        (15.0, "✓ 50% above it, aim met"),
        (12.0, "✓ 20% above it, aim missed"),
        (10.0, "✓ 0% above it, aim missed"),
        (8.0, "✗ 20% below it"),
    ],
)
def test_a_floor_is_to_be_reached(value: float, verdict: str) -> None:
    assert FLOOR.verdict(value) == verdict


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (1.0, "✓ 50% below it, aim met"),
        (1.6, "✓ 20% below it, aim missed"),
        (2.0, "✓ 0% below it, aim missed"),
        (3.0, "✗ 50% above it"),
    ],
)
def test_a_ceiling_is_not_to_be_exceeded(value: float, verdict: str) -> None:
    assert CEILING.verdict(value) == verdict


def test_a_figure_is_judged_as_it_is_shown() -> None:
    even = Goal("as large", least=1.1, aim=1.0, is_ceiling=True)

    assert even.figures(Spread(1.004, 1.0, 1.01)) == "1.00× (1.00–1.01)"
    assert even.verdict(1.004).endswith("aim met")
    assert even.verdict(1.006).endswith("aim missed")


def test_bounds_say_which_way_they_bind() -> None:
    assert FLOOR.bound(FLOOR.least) == "≥ 10×"
    assert CEILING.bound(CEILING.aim) == "≤ 1.3×"


def test_no_aim_is_easier_than_its_promise() -> None:
    assert all(goal.verdict(goal.aim).endswith("aim met") for goal in GOALS)
    assert len({goal.what for goal in GOALS}) == len(GOALS) == 11
