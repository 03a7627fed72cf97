"""`hopmail lookup` for scripts: what was found, as JSON. Moments are RFC 3339, in UTC."""

from datetime import date, datetime
from typing import Any

from consumer.cli.lookup_sources import Shown, Sources
from consumer.core.found import DeadSeen, Known, Line
from consumer.core.places import Whereabouts
from consumer.core.story import Part, Published, Story


def lookup_json(story: Story, sources: Sources, *, addresses: bool) -> dict[str, Any]:
    """Return the object."""
    shown = Shown(addresses)
    return {
        "message_id": story.message_id,
        "now": _moment(story.now),
        "found": story.is_found,
        "messages": [_part(part, shown) for part in story.parts],
        "log": [_line(line) for line in story.lines],
        "log_may_be_of_other_logins": story.is_ambiguous,
        "sources": {
            name.replace(" ", "_"): {"read": source.is_read, "detail": source.detail or None}
            for name, source in sources.named
        },
    }


def _part(part: Part, shown: Shown) -> dict[str, Any]:
    return {
        "login": part.login,
        "app_ids": list(part.app_ids),
        "published": part.published and _published(part.published),
        "replayed": part.replayed,
        "replayed_at": _moment(part.replayed_at),
        "places": [_place(place, shown) for place in part.places],
        "ledger": part.known and _known(part.known, shown),
        "dead_letters": [_dead(each, shown) for each in part.dead],
    }


def _published(published: Published) -> dict[str, Any]:
    return {
        "at": _moment(published.at),
        "certain": published.is_certain,
        "source": published.source,
    }


def _place(place: Whereabouts, shown: Shown) -> dict[str, Any]:
    return {
        "place": str(place.place),
        "text": place.text,
        "said": shown.words(place.said, place.names) or None,
        "certain": place.is_certain,
        "recipients": place.count,
        "names": [shown.name(name) for name in place.names],
        "back_in_lane": _moment(place.until),
    }


def _known(known: Known, shown: Shown) -> dict[str, Any]:
    return {
        "fingerprint": known.fingerprint.hex(),
        "deaths": known.deaths,
        "recipients": [
            {
                "name": shown.name(each.name),
                "state": each.state.name.lower(),
                "held_by": str(each.holder),
                "epoch": each.generation.epoch,
                "attempt": each.generation.attempt,
                "note": shown.words(each.note, (each.name,)) or None,
                "changed": _moment(each.changed),
            }
            for each in known.recipients
        ],
    }


def _dead(dead: DeadSeen, shown: Shown) -> dict[str, Any]:
    return {
        "reason": shown.words(dead.reason, ()),
        "detail": shown.detail(dead) or None,
        "attempt": dead.attempt,
        "lane": dead.lane,
        "last_attempt": _moment(dead.last_attempt),
        "replayed": dead.replayed,
        "believed": dead.is_believed,
        "recipients": None if dead.pending is None else [*map(shown.name, dead.pending)],
    }


def _line(line: Line) -> dict[str, Any]:
    left_out = {"message_id", "logger", "worker"}
    told = {name: value for name, value in line.fields.items() if name not in left_out}
    return {"at": _moment(line.at), "worker": line.worker, "event": line.event, **told}


def _moment(moment: date | None) -> str | None:
    if isinstance(moment, datetime):
        return moment.isoformat(timespec="milliseconds")
    return None if moment is None else moment.isoformat()
