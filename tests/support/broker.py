"""The real RabbitMQ the tests talk to: virtual hosts, users and what only an operator may do."""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

import pika
import requests

from consumer.amqp import declare
from consumer.core.topology import DEAD_QUEUE, topology
from publisher_lib.routing import EXCHANGE, Lane
from tests.support.consumer_process import state_folder, wait_until

AMQP_URL: Final = "HOPMAIL_TEST_AMQP_URL"
MANAGEMENT_URL: Final = "HOPMAIL_TEST_MANAGEMENT_URL"
PASSWORD: Final = "test-password"
LADDER: Final = (timedelta(seconds=1), timedelta(seconds=2))


@dataclass(frozen=True)
class Message:
    """A message taken from a queue."""

    properties: Any
    body: bytes

    @property
    def headers(self) -> dict[str, Any]:
        """Its header table; empty when it has none."""
        return self.properties.headers or {}

    @property
    def detail(self) -> dict[str, Any]:
        """A dead letter's detail."""
        found: dict[str, Any] = json.loads(self.headers["x-hopmail-detail"])
        return found


class Broker:
    """A broker, through its management API: the one under test unless its URLs are given."""

    def __init__(self, amqp_url: str = "", management_url: str = "") -> None:
        self._session = requests.Session()
        if amqp_url:
            self._amqp, self._api = urlsplit(amqp_url), management_url
            return
        missing = [name for name in (AMQP_URL, MANAGEMENT_URL) if name not in os.environ]
        assert not missing, (
            "the tests need a real RabbitMQ: run `make test`, or "
            "`.venv/bin/python -m dev.broker exec -- pytest …` for some of them"
        )
        self._amqp = urlsplit(os.environ[AMQP_URL])
        self._api = os.environ[MANAGEMENT_URL]

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._amqp.hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._amqp.port or 5672

    def url(self, vhost: str, user: str = "guest", password: str = "guest") -> str:
        """Return the URL of a virtual host for a login."""
        return f"amqp://{user}:{password}@{self.host}:{self.port}/{quote(vhost, safe='')}"

    def request(self, method: str, path: str, body: object | None = None) -> Any:
        """Call the management API; `path` is percent-encoded already."""
        answer = self._session.request(method, f"{self._api}/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content and answer.status_code == requests.codes.ok else None

    def may_manage(self, login: str) -> bool:
        """Return whether a login whose password is `PASSWORD` may use the management API."""
        api = urlsplit(self._api)
        url = f"{api.scheme}://{api.hostname}:{api.port}{api.path}/whoami"
        return requests.get(url, auth=(login, PASSWORD), timeout=30).ok

    def add_user(self, name: str, vhost: str, configure: str, write: str, read: str) -> None:
        """Add a login with these rights; its password is `PASSWORD`."""
        self.request("PUT", f"users/{name}", {"password": PASSWORD, "tags": ""})
        self.request(
            "PUT",
            f"permissions/{quote(vhost, safe='')}/{name}",
            {"configure": configure, "write": write, "read": read},
        )


class VirtualHost:
    """A virtual host of its own for one test, with three logins.

    `url` is the consumer's (`hopmail`), `app_url` an app's (`webapp`, whom the consumer does not
    trust), both with all rights here.
    """

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker = broker
        self.name = name
        self._path = quote(name, safe="")
        self.url = broker.url(name, f"hopmail-{name}", PASSWORD)
        self.app_url = broker.url(name, f"webapp-{name}", PASSWORD)
        self._admin_url = broker.url(name)

    def url_for(self, user: str) -> str:
        """Return the URL for a login whose password is `PASSWORD`."""
        return self.broker.url(self.name, user, PASSWORD)

    def create(self) -> None:
        """Make it and its logins."""
        self.broker.request("PUT", f"vhosts/{self._path}")
        self.broker.request(
            "PUT",
            f"permissions/{self._path}/guest",
            {"configure": ".*", "write": ".*", "read": ".*"},
        )
        for user in self._users:
            self.broker.add_user(user, self.name, ".*", ".*", ".*")

    def delete(self) -> None:
        """Remove it with all that is in it, and what its consumers kept."""
        shutil.rmtree(state_folder(self.url), ignore_errors=True)
        self.broker.request("DELETE", f"vhosts/{self._path}")
        for user in self._users:
            self.broker.request("DELETE", f"users/{user}")

    def declare_topology(self, delays: tuple[timedelta, ...] = LADDER) -> None:
        """Make exchanges and queues as the consumer does."""
        declare.apply((self._admin_url,), topology(delays))

    @contextmanager
    def channel(self, url: str | None = None) -> Iterator[Any]:
        """Open a channel (by default as the operator `guest`)."""
        connection = pika.BlockingConnection(pika.URLParameters(url or self._admin_url))
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def queue_depth(self, queue: str) -> int:
        """Return how many messages are ready in a queue."""
        with self.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).method.message_count)

    def consumers_of(self, queue: str) -> int:
        """Return how many consumers a queue has; a cancelled one counts while it owes acks."""
        with self.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).method.consumer_count)

    def wait_for_depth(self, queue: str, depth: int, seconds: float = 15.0) -> None:
        """Wait until exactly `depth` messages are ready in a queue."""
        wait_until(lambda: self.queue_depth(queue) == depth, seconds, f"{depth} in {queue}")

    def purge(self, queue: str) -> None:
        """Empty a queue."""
        with self.channel() as channel:
            channel.queue_purge(queue)

    def unsettled(self, queue: str) -> int:
        """Return how many messages a queue has, ready or delivered; a second or so behind."""
        found = self.broker.request("GET", f"queues/{self._path}/{quote(queue, safe='')}")
        return int(found.get("messages", 0))

    def publish_raw(
        self,
        body: bytes,
        *,
        lane: str = Lane.TRANSACTIONAL,
        exchange: str = EXCHANGE,
        url: str | None = None,
        **properties: Any,
    ) -> None:
        """Publish a message, confirmed; by default with the properties the contract wants."""
        known: dict[str, Any] = {
            "message_id": str(uuid.uuid4()),
            "type": "email.v1",
            "content_type": "application/json",
            "delivery_mode": 2,
        }
        with self.channel(url) as channel:
            channel.confirm_delivery()
            channel.basic_publish(
                exchange,
                lane,
                body,
                pika.BasicProperties(**{**known, **properties}),
                mandatory=True,
            )

    def take_all(self, queue: str) -> list[Message]:
        """Take every message out of a queue."""
        taken: list[Message] = []
        with self.channel() as channel:
            while True:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is None:
                    return taken
                taken.append(Message(properties, body))

    def dead_letters(self, count: int, seconds: float = 15.0) -> list[Message]:
        """Wait until there are `count` dead letters, and take them."""
        deadline = time.monotonic() + seconds
        found: list[Message] = []
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} dead letters of {count}: {found}"
            found += self.take_all(DEAD_QUEUE)
            time.sleep(0.02)
        return found

    def set_policy(self, name: str, pattern: str, definition: dict[str, Any]) -> None:
        """Set a policy for the queues whose name matches, and wait until it holds."""
        self.broker.request(
            "PUT",
            f"policies/{self._path}/{name}",
            {"pattern": pattern, "definition": definition, "apply-to": "queues"},
        )
        wait_until(lambda: self._policies() == {name}, what=f"the policy {name}")

    def delete_policy(self, name: str) -> None:
        """Remove a policy."""
        self.broker.request("DELETE", f"policies/{self._path}/{name}")

    def _policies(self) -> set[str]:
        queues = self.broker.request("GET", f"queues/{self._path}?columns=name,policy")
        return {queue["policy"] for queue in queues if queue.get("policy")}

    def close_connections(self) -> None:
        """Have the broker close every connection of the consumer's and the app's login."""
        for user in self._users:
            self.broker.request("DELETE", f"connections/username/{user}")

    @property
    def _users(self) -> tuple[str, str]:
        return f"hopmail-{self.name}", f"webapp-{self.name}"
