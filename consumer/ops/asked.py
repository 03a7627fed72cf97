"""What an operator asks of a host's processes, as the members of `control.json`."""

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from consumer.core.paused import Paused, paused_json, read_paused
from consumer.core.record import record
from consumer.ops.logs import LEVELS, Level
from publisher_lib.routing import Lane

LOG_LEVEL: Final = "log_level"
PAUSED: Final = "paused"
LARGEST_BYTES: Final = 65_536


class Damaged(ValueError):
    """That says nothing that can be understood."""


@record
class Asked:
    """What is asked.

    `log_level` None: the settings' holds. `paused` are the lanes of which no mail is to be taken.
    """

    log_level: Level | None = None
    paused: Mapping[Lane, Paused] = field(default_factory=dict)


def read_members(text: bytes) -> dict[str, Any]:
    """Return the members that a file holds. Raises Damaged."""
    try:
        found = json.loads(text) if len(text) <= LARGEST_BYTES else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Damaged("it is no JSON object")
    return found


def read_asked(members: Mapping[str, Any]) -> Asked:
    """Return what members ask. Raises Damaged."""
    level = members.get(LOG_LEVEL)
    if level is not None and level not in LEVELS:
        raise Damaged(f"{LOG_LEVEL} is none of {', '.join(LEVELS)}")
    return Asked(log_level=level, paused=_paused(members.get(PAUSED, {})))


def paused_in(members: Mapping[str, Any]) -> dict[Lane, Paused]:
    """Return what is paused; nothing where that cannot be understood."""
    try:
        return _paused(members.get(PAUSED, {}))
    except Damaged:
        return {}


def with_paused(members: Mapping[str, Any], lanes: Mapping[Lane, Paused]) -> dict[str, Any]:
    """Return the members, with these lanes paused and no others."""
    told = {str(lane): paused_json(paused) for lane, paused in lanes.items()}
    others = {name: value for name, value in members.items() if name != PAUSED}
    return others | ({PAUSED: told} if told else {})


def understood(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members without those of ours that say nothing; others are another version's."""
    kept = with_paused(members, paused_in(members))
    if kept.get(LOG_LEVEL) not in LEVELS:
        kept.pop(LOG_LEVEL, None)
    return kept


def _paused(found: Any) -> dict[Lane, Paused]:
    try:
        return {Lane(lane): read_paused(told) for lane, told in found.items()}
    except (AttributeError, ValueError) as error:
        raise Damaged(f"{PAUSED} is no object of lanes, each with by, reason and since") from error
