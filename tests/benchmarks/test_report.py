import pytest

from benchmarks import goals
from benchmarks.figures import Spread
from benchmarks.report import PICTURE, Extent, duration, page
from benchmarks.section import Section, milliseconds, more, per_second, times

DRAIN = Section(
    "Drain",
    "From a full queue.",
    [("contender", "mails/s"), ("Hopmail", "5000")],
    reached={goals.DRAIN_CELERY: Spread(11.0, 10.5, 12.0)},
)


def cells(text: str, first: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def report(notes: str = "", extent: Extent = Extent.WHOLE, *, has_chart: bool = True) -> str:
    return page([DRAIN], "On a machine.", 738.0, notes, extent, has_chart=has_chart)


def test_a_goal_stands_beside_what_was_reached() -> None:
    assert cells(report(), goals.DRAIN_CELERY.what) == [
        *("drain against Celery, usual task", "≥ 10×", "≥ 15×"),
        *("11.00× (10.50–12.00)", "✓ 10% above it, aim missed"),
    ]


def test_a_goal_of_a_part_that_did_not_run_is_not_met_by_silence() -> None:
    assert cells(report(), goals.START.what)[3:] == ["not measured", ""]


def test_every_goal_and_section_is_told() -> None:
    text = report()

    assert all(cells(text, goal.what) for goal in goals.GOALS)
    assert cells(text, "Hopmail") == ["Hopmail", "5000"]
    assert "\n## Drain\n\nFrom a full queue.\n" in text
    assert "On a machine. It took 12 minutes." in text


def test_a_trial_says_so_before_its_figures_and_judges_none() -> None:
    text = report(extent=Extent.TRIAL)

    assert text.index("This is a trial") < text.index("On a machine.")
    assert "## Goals" not in text
    assert not {"✓", "✗"} & set(text)
    assert cells(text, "Hopmail") == ["Hopmail", "5000"]


def test_of_a_part_only_its_own_goals_are_told() -> None:
    text = report(extent=Extent.PART)

    assert "Only a part was measured" in text
    assert cells(text, goals.DRAIN_CELERY.what)[-1] == "✓ 10% above it, aim missed"
    assert "not measured" not in text
    assert goals.START.what not in text


def test_a_part_without_goals_has_no_table_of_them() -> None:
    part = Section("CPU per mail", "Alone.", [("step", "µs"), ("compose", "13")])

    assert "## Goals" not in page([part], "", 1.0, "", Extent.PART, has_chart=False)


def test_a_whole_run_says_nothing_of_trial_or_part() -> None:
    assert not [each for each in Extent if each.value and each.value in report()]


def test_a_picture_is_shown_where_it_was_drawn() -> None:
    assert PICTURE in report(has_chart=True)
    assert "results.png" not in report(has_chart=False)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(7.2, "7 seconds"), (119.0, "119 seconds"), (120.0, "2 minutes"), (738.0, "12 minutes")],
)
def test_a_short_run_took_seconds(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.062, "6.2% more"), (-0.21, "21.0% less"), (0.0, "0.0% more"), (-0.0004, "0.0% more")],
)
def test_what_is_not_more_is_less(share: float, said: str) -> None:
    assert more(share) == said


def test_what_a_person_says_of_the_goals_stands_between_them_and_the_parts() -> None:
    text = report("## What is missing\n\nThe relay is slow.\n")

    assert text.index("## Goals") < text.index("The relay is slow.") < text.index("## Drain")


def test_figures_are_written_for_a_person() -> None:
    found = Spread(12345.6, 99.94, 0.5)

    assert per_second(found) == ("12\u2009346", "99.9–0.5")
    assert milliseconds(Spread(0.0123, 0.001, 0.5)) == "12.3 (1.0–500.0)"
    assert times(Spread(1.234, 1.0, 2.0)) == "1.23 (1.00–2.00)"
