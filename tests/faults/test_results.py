"""The page tells every case: those that held, failed, were controls, or did not come to an end."""

from dataclasses import asdict
from typing import Any

from tests.faults.results import Case, Result, page, soak_of, with_soak

FIGURES = {"attempted": 5000, "confirmed": 5000, "accepted": 4990, "dead": 10, "lost": 0}


def line(number: int, **changes: Any) -> dict[str, Any]:
    result = Result(
        case=Case(number, f"fault {number}", f"test_{number}"),
        workers=2,
        faults=30,
        figures=FIGURES,
        broken=[],
        recovery_seconds=1.25,
        broker="3.10.8",
    )
    return asdict(result) | changes


def row(text: str, fault: str) -> list[str]:
    (found,) = [line for line in text.splitlines() if f"| {fault}" in line]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_a_case_that_held_has_its_figures() -> None:
    cells = row(page([line(11)]), "fault 11")

    assert cells[:7] == ["11", "fault 11", "2", "30", "5000", "5000", "-"]
    assert cells[-2:] == ["1.2 s", "held"]


def test_a_case_failed_where_its_test_failed() -> None:
    failed = {"case": asdict(Case(11, "fault 11", "test_11")), "has_failed": True}

    assert row(page([line(11), failed]), "fault 11")[-1] == "**failed**"
    assert row(page([failed]), "fault 11")[-1] == "**failed**"


def test_a_broken_invariant_is_shown_even_of_a_test_that_let_it_pass() -> None:
    assert row(page([line(11, broken=["I1 lost: ('a', 'x')"])]), "fault 11")[-1] == "**I1 lost**"


def test_a_control_names_what_the_harness_saw() -> None:
    case = asdict(Case(11, "fault 11", "test_11", is_control=True))
    text = page([line(11, case=case, broken=["I1 lost: ('a', 'x')"])])

    assert row(text.partition("## Negative controls")[2], "fault 11")[-1] == "seen: I1 lost"


def test_a_case_without_a_result_is_named() -> None:
    assert "Case 12 has no result" in page([line(11)])
    assert "Case 11 has no result" not in page([line(11)])


def test_broker_and_machine_are_named() -> None:
    assert "RabbitMQ 3.10.8." in page([line(11)])


def test_what_is_told_of_the_soak_stays_when_the_page_is_written_anew() -> None:
    before = with_soak(page([line(11)]), "## Soak\n\nAn hour.\n")
    after = with_soak(page([line(12)]), soak_of(before))

    assert after.endswith("\n\n## Soak\n\nAn hour.\n")
    assert after.count("## Soak") == 1
    assert "fault 12" in after
    assert "## Soak" not in with_soak(page([line(11)]), soak_of(""))
