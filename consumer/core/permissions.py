"""Who needs which rights on the broker: the least that each needs, and no more.

A right is a regular expression for names of exchanges and queues, which RabbitMQ searches
(https://www.rabbitmq.com/docs/access-control). Ours are anchored, and hold for any ladder of
delays and any version of a queue.

To look whether a queue is there, and how long it is, by a passive declare, needs no right up to
RabbitMQ 4.2, and any of the three in 4.3. Who is to look has the right to write to the queue: it
is of use only to bind the queue to an exchange that one may read, and none of these may read one.
"""

from typing import Final

from consumer.core.record import record

NOTHING: Final = "^$"
LANES: Final = r"^email\.(transactional|bulk)\.v[0-9]+$"
EVERYTHING: Final = (
    r"^email(\.retry|\.dead|\.(transactional|bulk)(\.retry\.[a-z0-9]+)?|\.[a-z0-9.]+\.v[0-9]+)?$"
)
"""Without a version too: so `hopmail topology migrate` looks whether a queue was once called."""


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
    r"^email(\.retry|\.dead|(\.dead|\.(transactional|bulk)\.retry\.[a-z0-9]+)\.v[0-9]+)?$",
    LANES,
)
OPERATOR: Final = Role(
    "operator",
    "hopmail deadletters: reads dead letters, and gives them back",
    NOTHING,
    r"^email(\.dead|\.(transactional|bulk)(\.retry\.[a-z0-9]+)?\.v[0-9]+)?$",
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
