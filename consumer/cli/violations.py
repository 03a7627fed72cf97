"""How breaches of the contract are shown: where, what is wrong, and what to do."""

from collections.abc import Iterator
from typing import Any

from consumer.core.contract_cure import cure
from consumer.core.outcome import Undecodable

WHOLE = "the email"


def violation_lines(found: Undecodable) -> Iterator[str]:
    """Yield two lines for each breach: the place with what is wrong, and the cure."""
    for violation in found.violations:
        yield f"  {violation.pointer or WHOLE} {violation.message}"
        if told := cure(found, violation):
            yield f"    → {told}"


def violations_json(found: Undecodable) -> list[dict[str, Any]]:
    """Return the breaches for scripts."""
    return [
        {
            "pointer": violation.pointer,
            "problem": violation.message,
            "cure": cure(found, violation) or None,
        }
        for violation in found.violations
    ]
