"""What deploy/rabbitmq/definitions.json holds: logins with their rights, exchanges and queues.

`python -m dev.definitions` writes it anew. In a password's place it has the name of the variable
that deploy/rabbitmq/start.sh puts in.
"""

import json
from pathlib import Path
from typing import Any, Final

from consumer.core.permissions import ROLES, Role
from consumer.core.topology import Queue, topology
from consumer.settings.model import Settings
from consumer.settings.read import read_ladder

FILE: Final = Path(__file__).parents[1] / "deploy" / "rabbitmq" / "definitions.json"
VHOST: Final = "/"

LADDER: Final = read_ladder(Settings.model_fields["retry_delays"].default)


def definitions() -> dict[str, Any]:
    """Return them. Of the logins only `deploy` may make or remove anything: all is there."""
    wanted = topology(LADDER)
    return {
        "vhosts": [{"name": VHOST}],
        "users": [
            _user("publisher"),
            _user("consumer"),
            # Who looks at dead letters looks at the management page too.
            _user("operator", "monitoring"),
            _user("deploy"),
        ],
        "permissions": [_rights(role) for role in ROLES],
        "exchanges": [_exchange(name) for name in wanted.exchanges],
        "queues": [_queue(queue) for queue in wanted.queues],
        "bindings": [_binding(queue) for queue in wanted.queues],
    }


def _user(name: str, *tags: str) -> dict[str, Any]:
    return {"name": name, "password": f"${{{name.upper()}_PASSWORD}}", "tags": list(tags)}


def _rights(role: Role) -> dict[str, str]:
    return {
        "user": role.name,
        "vhost": VHOST,
        "configure": role.configure,
        "write": role.write,
        "read": role.read,
    }


def _exchange(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "vhost": VHOST,
        "type": "direct",
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }


def _queue(queue: Queue) -> dict[str, Any]:
    return {
        "name": queue.name,
        "vhost": VHOST,
        "durable": True,
        "auto_delete": False,
        "arguments": dict(queue.arguments),
    }


def _binding(queue: Queue) -> dict[str, Any]:
    return {
        "source": queue.exchange,
        "vhost": VHOST,
        "destination": queue.name,
        "destination_type": "queue",
        "routing_key": queue.routing_key,
        "arguments": {},
    }


def page() -> str:
    """Return the file's text."""
    return json.dumps(definitions(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(page())
