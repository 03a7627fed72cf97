"""An operator's pause of a lane: who asked for it, why, and since when."""

import re
from datetime import datetime
from typing import Any, Final

from consumer.core.record import record
from publisher_lib.mailbox import CONTROLS

LONGEST_REASON: Final = 200
"""Characters. It stands in each worker's log, and on one line of `hopmail status`."""

CONTROL: Final = re.compile(f"[{CONTROLS}]")


@record
class Paused:
    """No worker takes mail of such a lane, until somebody resumes it."""

    by: str
    reason: str
    since: datetime


def check_reason(text: str) -> str:
    """Return a reason as it is kept. Raises ValueError, saying what it must be."""
    reason = text.strip()
    if not reason or len(reason) > LONGEST_REASON or CONTROL.search(reason):
        raise ValueError(f"a reason has 1 to {LONGEST_REASON} characters, on one line")
    return reason


def paused_json(paused: Paused) -> dict[str, str]:
    """Return it as `control.json` and `hopmail status --json` have it."""
    since = paused.since.isoformat(timespec="seconds")
    return {"by": paused.by, "reason": paused.reason, "since": since}


def read_paused(found: Any) -> Paused:
    """Read it back. Raises ValueError for anything else."""
    try:
        since = datetime.fromisoformat(found["since"])
        by, reason = found["by"], check_reason(found["reason"])
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("a pause has by, reason and since") from error
    if not isinstance(by, str) or CONTROL.search(by) or since.tzinfo is None:
        raise ValueError("a pause is by somebody, since a moment with its time zone")
    return Paused(by, reason, since)
