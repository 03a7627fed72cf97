"""How a message died: told by our headers, or by RabbitMQ's own `x-death`."""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from consumer.core.delivery import Delivery
from consumer.core.followup import LANE, LAST_ATTEMPT_MS, REASON, is_ours
from publisher_lib.routing import Lane

UNKNOWN: Final = "unknown"
RABBITMQ: Final = "rabbitmq_"
"""Before the reason of one that RabbitMQ moved by itself: `rabbitmq_delivery_limit`."""

BROKERS_REASON: Final = re.compile(RABBITMQ + r"[a-z_]{1,40}")


def reason_of(delivery: Delivery) -> str:
    """Return a reason of ours, RabbitMQ's own after `rabbitmq_`, or `unknown`."""
    headers = delivery.properties.headers
    if is_ours(delivery):
        return str(headers[REASON])
    if BROKERS_REASON.fullmatch(str(headers.get(REASON))):
        return str(headers[REASON])
    told = str(next(iter(_x_death(headers)), {}).get("reason") or "")
    reason = RABBITMQ + re.sub(r"[^a-z]", "_", told.lower())
    return reason if told and BROKERS_REASON.fullmatch(reason) else UNKNOWN


def lane_of(headers: Mapping[str, Any]) -> Lane:
    """Return the lane it came from, by its headers; else the transactional one."""
    told = [str(headers.get(LANE))]
    told += [str(death.get("queue")).removeprefix("email.") for death in _x_death(headers)]
    for name in told:
        for lane in Lane:
            if name.partition(".")[0] == lane:
                return lane
    return Lane.TRANSACTIONAL


def died_at(headers: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return since when it is a dead letter; None where it does not credibly say."""
    told = died_ms(headers)
    if told is None:
        return None
    return now if told >= now.timestamp() * 1000 else datetime.fromtimestamp(told / 1000, UTC)


def died_ms(headers: Mapping[str, Any]) -> int | None:
    """Return when it says that it died, in Unix milliseconds."""
    told = headers.get(LAST_ATTEMPT_MS)
    if isinstance(told, int) and not isinstance(told, bool) and told > 0:
        return told
    moment = next(iter(_x_death(headers)), {}).get("time")
    try:
        # Of an export, as text.
        moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError:
        return None
    if not isinstance(moment, datetime):
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def deaths_in(headers: Mapping[str, Any]) -> Mapping[str, int]:
    """Return how often RabbitMQ moved it, by queue and reason."""
    counted: Counter[str] = Counter()
    for death in _x_death(headers):
        count = death.get("count")
        counted[f"{death.get('queue')}: {death.get('reason')}"] += (
            count if isinstance(count, int) else 1
        )
    return dict(counted)


def _x_death(headers: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    told = headers.get("x-death")
    return [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []
