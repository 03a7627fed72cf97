"""What deploy/rabbitmq/definitions.json holds: logins with their rights, exchanges and queues.

`python -m dev.definitions` writes it anew. The rights are those of `hopmail topology users`. In a
password's place it has the name of the variable that deploy/rabbitmq/start.sh puts in.
"""

import json
from pathlib import Path
from typing import Any, Final

from consumer.core.permissions import CONSUMER, DEPLOY, OPERATOR, PUBLISHER, User
from consumer.core.topology import Queue, topology
from consumer.settings.model import Settings
from consumer.settings.read import read_ladder

FILE: Final = Path(__file__).parents[1] / "deploy" / "rabbitmq" / "definitions.json"
VHOST: Final = "/"

LADDER: Final = read_ladder(Settings.model_fields["retry_delays"].default)

TAGS: Final = {
    PUBLISHER: (),
    CONSUMER: (),
    # Who looks at dead letters looks at the management page too.
    OPERATOR: ("monitoring",),
    DEPLOY: (),
}
"""The logins, named after their roles. Only `deploy` may make or remove anything: all is there."""


def definitions() -> dict[str, Any]:
    """Return them."""
    wanted = topology(LADDER)
    users = [User(role.name, role) for role in TAGS]
    return {
        "vhosts": [{"name": VHOST}],
        "users": [_user(user) for user in users],
        "permissions": [user.permission(VHOST) for user in users],
        "exchanges": [_exchange(name) for name in wanted.exchanges],
        "queues": [_queue(queue) for queue in wanted.queues],
        "bindings": [_binding(queue) for queue in wanted.queues],
    }


def _user(user: User) -> dict[str, Any]:
    password = f"${{{user.login.upper()}_PASSWORD}}"
    return {"name": user.login, "password": password, "tags": list(TAGS[user.role])}


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
