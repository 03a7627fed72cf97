from benchmarks import goals
from benchmarks.figures import Spread
from benchmarks.report import TRIAL, page
from benchmarks.section import Section, milliseconds, per_second, times

DRAIN = Section(
    "Drain",
    "From a full queue.",
    [("contender", "mails/s"), ("Hopmail", "5000")],
    reached={goals.DRAIN_CELERY: Spread(11.0, 10.5, 12.0)},
)


def cells(text: str, first: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def report(notes: str = "", *, is_trial: bool = False) -> str:
    return page([DRAIN], "On a machine.", 12.3, notes, is_trial=is_trial)


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


def test_a_trial_says_that_it_is_one() -> None:
    assert TRIAL not in report()
    assert TRIAL in report(is_trial=True)


def test_what_a_person_says_of_the_goals_stands_between_them_and_the_parts() -> None:
    text = report("## What is missing\n\nThe relay is slow.\n")

    assert text.index("## Goals") < text.index("The relay is slow.") < text.index("## Drain")


def test_figures_are_written_for_a_person() -> None:
    found = Spread(12345.6, 99.94, 0.5)

    assert per_second(found) == ("12\u2009346", "99.9–0.5")
    assert milliseconds(Spread(0.0123, 0.001, 0.5)) == "12.3 (1.0–500.0)"
    assert times(Spread(1.234, 1.0, 2.0)) == "1.23 (1.00–2.00)"
