"""What a setting has to do with those before it: defaults made of them, checks against them."""

from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from pydantic import ValidationInfo

from consumer.core.durations import spell_duration
from consumer.core.ledger_url import DEFAULT_FILE

PREFETCH_PER_SESSION: Final = 16
"""What comes together is claimed, noted and acked together, which costs each mail less; but mails
that wait for a slow relay in one process could be with another."""


def prefetch_of(found: dict[str, Any]) -> str:
    """Return the default prefetch."""
    return str(PREFETCH_PER_SESSION * found["smtp_sessions"])


def ledger_in_state(found: dict[str, Any]) -> str:
    """Return the default ledger: a file in the state folder."""
    return f"sqlite://{quote(str(found['state_dir'] / DEFAULT_FILE))}"


def metrics_in_state(found: dict[str, Any]) -> str:
    """Return the default folder for metrics: one in the state folder."""
    return str(found["state_dir"] / "metrics")


def outlives_retries(retention: timedelta, info: ValidationInfo) -> timedelta:
    """Return the ledger's retention. Raises ValueError where a mail may be retried after it."""
    delays, max_age = info.data.get("retry_delays"), info.data.get("max_age")
    if delays and max_age and retention <= max_age + delays[-1]:
        longest = spell_duration(max_age + delays[-1])
        raise ValueError(
            f"must be longer than {longest}, HOPMAIL_MAX_AGE and the last of HOPMAIL_RETRY_DELAYS:"
            " a copy that comes after it is forgotten might be sent again"
        )
    return retention


def goes_somewhere(log_stdout: str, info: ValidationInfo) -> str:
    """Return whether the log goes to standard output. Raises ValueError where it goes nowhere."""
    if log_stdout == "no" and "log_dir" in info.data and info.data["log_dir"] is None:
        raise ValueError("needs HOPMAIL_LOG_DIR: the log must go somewhere")
    return log_stdout
