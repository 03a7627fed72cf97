import pytest

from dev.units import written


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0 ms"),
        (0.0123, "s", "12.3 ms"),
        (2.314, "s", "2.31 s"),
        (90, "s", "1.5 min"),
        (7200, "s", "2 hour"),
        (12, "short", "12"),
        (1234, "short", "1.23 K"),
        (3 * 2**20, "bytes", "3 MiB"),
        (0.125, "percentunit", "12.5 %"),
        (60, "suffix: /min", "60 /min"),
        (1000, "none", "1000"),
    ],
)
def test_a_figure_is_written_with_three_digits_and_its_unit(
    value: float, unit: str, text: str
) -> None:
    assert written(value, unit) == text


def test_decimals_may_be_asked_for() -> None:
    assert written(433.4, "suffix: /min", 0) == "433 /min"
    assert written(3.2, "s", 0) == "3 s"
