"""How breaches of the contract are shown: where, what is wrong, and what to do."""

from collections.abc import Iterator
from typing import Any

from consumer.core.contract_cure import cure
from consumer.core.outcome import Undecodable

WHOLE = "the email"


def violation_lines(found: Undecodable, body: bytes) -> Iterator[str]:
    """Yield two lines for each breach: the place with what is wrong, and the cure."""
    for violation in found.violations:
        message = violation.message.replace("Invalid JSON:", "is no JSON:")
        yield f"  {violation.pointer or WHOLE} {message}"
        if told := cure(found, violation, body):
            yield f"    → {told}"


def violations_json(found: Undecodable, body: bytes) -> list[dict[str, Any]]:
    """Return the breaches for scripts."""
    return [
        {
            "pointer": violation.pointer,
            "problem": violation.message,
            "cure": cure(found, violation, body) or None,
        }
        for violation in found.violations
    ]
