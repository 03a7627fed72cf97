"""Who needs which rights on the broker: the least that each needs, and no more.

A right is a regular expression for names of exchanges and queues, which RabbitMQ searches
(https://www.rabbitmq.com/docs/access-control). Ours are anchored, and hold for any ladder of
delays and any version of a queue.

To look whether something is there, by a passive declare, needs no right before RabbitMQ 4.2.6, and
any right since 4.2.7 and 4.3.1 (rabbitmq-server pull requests 16085 and 16272). Whoever is to look
at a queue may write it: that alone allows nothing else. Messages are written to exchanges, and to
bind a queue needs the right to read an exchange besides, which only `deploy` has.
"""

from dataclasses import replace
from typing import Final

from consumer.core.record import record

NOTHING: Final = "^$"
LANES: Final = r"^email\.(transactional|bulk)\.v[0-9]+$"
DEAD: Final = r"^email\.dead\.v[0-9]+$"
LANES_AND_DEAD: Final = r"^email\.(transactional|bulk|dead)\.v[0-9]+$"
QUEUE: Final = r"\.[a-z0-9.]+\.v[0-9]+"
FOR_OPERATORS: Final = rf"^email(\.dead|{QUEUE})?$"
FOR_CONSUMERS: Final = rf"^email(\.retry|\.dead|{QUEUE})?$"
FORMER: Final = r"\.(transactional|bulk)(\.retry\.[a-z0-9]+)?"
EVERYTHING: Final = rf"^email(\.retry|\.dead|{FORMER}|{QUEUE})?$"
"""Without a version too: so `hopmail topology migrate` looks whether a queue was once called."""


@record
class Role:
    """A role, what it is for, and what its login may configure, write and read."""

    name: str
    meaning: str
    configure: str
    write: str
    read: str


@record
class User:
    """A login and its role."""

    login: str
    role: Role

    def permission(self, vhost: str) -> dict[str, str]:
        """Return its rights in a virtual host, as definitions have them."""
        role = self.role
        return {
            "user": self.login,
            "vhost": vhost,
            "configure": role.configure,
            "write": role.write,
            "read": role.read,
        }


PUBLISHER: Final = Role(
    "publisher", "an app: publishes, and sees nothing", NOTHING, "^email$", NOTHING
)
CONSUMER: Final = Role(
    "consumer",
    "the daemon: reads the lanes, writes copies and dead letters, makes nothing",
    NOTHING,
    FOR_CONSUMERS,
    LANES,
)
CONSUMER_WITH_RETENTION: Final = replace(
    CONSUMER,
    meaning="the daemon: reads the lanes, writes copies and dead letters, removes old ones",
    read=LANES_AND_DEAD,
)
OPERATOR: Final = Role(
    "operator",
    "hopmail deadletters: reads dead letters, and gives them back",
    NOTHING,
    FOR_OPERATORS,
    DEAD,
)
DEPLOY: Final = Role(
    "deploy",
    "hopmail topology apply: makes exchanges, queues and bindings",
    EVERYTHING,
    EVERYTHING,
    EVERYTHING,
)
ROLES: Final = (PUBLISHER, CONSUMER, OPERATOR, DEPLOY)
