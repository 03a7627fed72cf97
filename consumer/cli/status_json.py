"""`hopmail status` for scripts: what was seen, as JSON has it. Moments are RFC 3339, in UTC."""

from datetime import datetime
from typing import Any

from consumer.core.obstacles import flows, obstacles, remarks
from consumer.core.paused import paused_json
from consumer.core.status import QueueSeen, Status, WorkerSeen
from publisher_lib.routing import Lane


def status_json(status: Status) -> dict[str, Any]:
    """Return the object."""
    found = obstacles(status)
    return {
        "now": _moment(status.now),
        "flows": flows(status),
        "obstacles": list(found),
        "remarks": list(remarks(status)),
        "paused": {str(lane): paused_json(paused) for lane, paused in status.paused.items()},
        "lanes": {
            str(lane): {
                "last_acceptance": _moment(status.last_acceptance(lane)),
                "oldest_waits_since_at_most": _moment(status.oldest(lane)),
            }
            for lane in Lane
        },
        "queues": [_queue(queue) for queue in status.queues],
        "workers_wanted": status.wanted,
        "workers": [_worker(worker, is_alive=status.is_alive(worker)) for worker in status.workers],
        "relays": [_relay(status, relay) for relay in status.relays],
    }


def _queue(queue: QueueSeen) -> dict[str, Any]:
    return {
        "queue": queue.place.queue,
        "kind": str(queue.place.kind),
        "lane": queue.place.lane and str(queue.place.lane),
        "messages": queue.messages,
        "oldest_waits_since_at_most": _moment(queue.oldest),
    }


def _relay(status: Status, relay: str) -> dict[str, Any]:
    return {
        "relay": relay,
        "in_trouble": status.is_in_trouble(relay),
        "in_trouble_since": _moment(status.trouble_since(relay)),
        "fails_at": [stage.name for stage in status.trouble_stages(relay)],
    }


def _worker(worker: WorkerSeen, *, is_alive: bool) -> dict[str, Any]:
    return {
        "worker": worker.name,
        "alive": is_alive,
        "heartbeat": _moment(worker.heartbeat),
        "started": _moment(worker.started),
        "connected": worker.is_connected,
        "ledger_in_trouble": worker.is_ledger_in_trouble,
        "held_by": list(worker.holds),
        "deliveries_per_second": round(worker.per_second, 3),
        "in_flight": worker.in_flight,
        "sessions": dict(worker.sessions),
        "rss_bytes": worker.rss_bytes,
        "dead_letters": dict(worker.dead_letters),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
