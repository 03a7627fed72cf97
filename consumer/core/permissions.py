"""Who needs which rights on the broker: the least that each needs, and no more.

A right is a regular expression for names of exchanges and queues, which RabbitMQ searches
(https://www.rabbitmq.com/docs/access-control). Ours are anchored, and hold for any ladder of
delays and any version of a queue.
"""

from typing import Final

from consumer.core.record import record

NOTHING: Final = "^$"
LANES: Final = r"^email\.(transactional|bulk)\.v[0-9]+$"
EXCHANGES: Final = r"^email(\.retry|\.dead)?$"
EVERYTHING: Final = r"^email(\.retry|\.dead|\.[a-z0-9.]+\.v[0-9]+)?$"


@record
class Role:
    """A role, what it is for, and what its login may configure, write and read."""

    name: str
    meaning: str
    configure: str
    write: str
    read: str


PUBLISHER: Final = Role(
    "publisher", "an app: publishes, and sees nothing", NOTHING, "^email$", NOTHING
)
CONSUMER: Final = Role(
    "consumer",
    "the daemon: reads the lanes, writes copies and dead letters, makes nothing",
    NOTHING,
    EXCHANGES,
    LANES,
)
OPERATOR: Final = Role(
    "operator",
    "hopmail deadletters: reads dead letters, and gives them back",
    NOTHING,
    r"^email(\.dead)?$",
    r"^email\.dead\.v[0-9]+$",
)
DEPLOY: Final = Role(
    "deploy",
    "hopmail topology apply: makes exchanges, queues and bindings",
    EVERYTHING,
    EVERYTHING,
    EVERYTHING,
)
ROLES: Final = (PUBLISHER, CONSUMER, OPERATOR, DEPLOY)
"""Looking whether something is there, by a passive declare, needs no right."""
