"""When a relay says it may be asked again, in the words of its reply."""

import re
from datetime import timedelta
from typing import Final

from consumer.core.outcome import Reply

UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

CUE: Final = r"\b(?:again|back|retry(?:ing)?|wait|gr[ae]y-?list(?:ed|ing)?|deferred|delayed)\b"
"""What a wait is spoken of with. A number without one is a limit, a size or a count."""

AMOUNT: Final = r"\d{1,6} ?(?:s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?|d(?:ays?)?)\b"
CLOCK: Final = r"\d{1,3}:[0-5]\d:[0-5]\d\b"

WAIT: Final = re.compile(
    rf"{CUE}[^\d.;]{{0,40}}\b(?:(?P<clock>{CLOCK})|(?P<amounts>{AMOUNT}(?:,? (?:and )?{AMOUNT})*))",
    re.IGNORECASE,
)
"""`try again in 5 minutes`, `retry in 300 seconds`, `Greylisted for 300 seconds` (postgrey), `come
back in 00:05:00` (milter-greylist), `wait 1 hour and 30 minutes`."""

ONE_AMOUNT: Final = re.compile(r"(\d+) ?([smhd])", re.IGNORECASE)


def retry_after(reply: Reply | None) -> timedelta:
    """Return how long the relay asks us to wait; zero where it names no time, or said nothing."""
    found = WAIT.search(reply.text) if reply else None
    if found is None:
        return timedelta()
    if found["clock"]:
        hours, minutes, seconds = map(int, found["clock"].split(":"))
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)
    amounts = ONE_AMOUNT.findall(found["amounts"])
    return timedelta(
        seconds=sum(int(count) * UNIT_SECONDS[unit.lower()] for count, unit in amounts)
    )
