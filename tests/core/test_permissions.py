"""Rights are anchored, and each role's match what it needs of any ladder."""

import re
from datetime import timedelta

import pytest

from consumer.core.migration import pairs
from consumer.core.permissions import CONSUMER, DEPLOY, OPERATOR, PUBLISHER, ROLES, Role
from consumer.core.topology import topology

WHOLE = topology((timedelta(seconds=30), timedelta(minutes=90), timedelta(days=7)))
EXCHANGES = frozenset(WHOLE.exchanges)
QUEUES = frozenset(queue.name for queue in WHOLE.queues)
LANES = frozenset({"email.transactional.v1", "email.bulk.v1"})
DEAD = frozenset({"email.dead.v1"})
STRANGE = frozenset(
    {
        *("", "amq.default", "amq.direct", "e", "emailx", "xemail", "xemail.dead", "email.x"),
        *("email.dead.v1.x", "email.dead.v", "x.email.bulk.v1", "email.bulk.v1x", "emailxdead"),
        *("other", "other.email", "emailxbulkxv1", "EMAIL"),
    }
)
NONE: frozenset[str] = frozenset()
EVERYTHING = EXCHANGES | QUEUES


def matched(right: str) -> set[str]:
    """Return the names that RabbitMQ would find a right to: it searches, and does not match."""
    return {name for name in EVERYTHING | STRANGE if re.search(right, name)} - {""}


@pytest.mark.parametrize(
    ("role", "configure", "write", "read"),
    [
        (PUBLISHER, NONE, {"email"}, NONE),
        # Of a queue, to write is to look.
        (CONSUMER, NONE, EXCHANGES | QUEUES, LANES),
        (OPERATOR, NONE, {"email", "email.dead"} | QUEUES, DEAD),
        (DEPLOY, EXCHANGES | QUEUES, EXCHANGES | QUEUES, EXCHANGES | QUEUES),
    ],
)
def test_a_role_has_the_least_it_needs(
    role: Role, configure: set[str], write: set[str], read: set[str]
) -> None:
    assert matched(role.configure) == configure
    assert matched(role.write) == write
    assert matched(role.read) == read


def test_rights_hold_for_the_next_version_of_a_queue() -> None:
    assert re.search(CONSUMER.read, "email.bulk.v2")
    assert re.search(OPERATOR.read, "email.dead.v2")
    assert re.search(DEPLOY.configure, "email.bulk.retry.30s.v12")


@pytest.mark.parametrize("role", [CONSUMER, OPERATOR])
def test_who_looks_at_queues_has_a_right_to_each_and_may_read_no_exchange(role: Role) -> None:
    """As RabbitMQ 4.3 wants it; without reading an exchange nothing can be bound to it."""
    assert matched(role.write) | matched(role.read) >= QUEUES
    assert not matched(role.read) & EXCHANGES


def test_deploy_may_move_what_waits_in_queues_of_any_earlier_name() -> None:
    for each in pairs(WHOLE):
        for right in (DEPLOY.configure, DEPLOY.write, DEPLOY.read):
            assert re.search(right, each.old), each


def test_every_role_says_what_it_is_for() -> None:
    assert all(role.meaning for role in ROLES)
    assert len({role.name for role in ROLES}) == len(ROLES)
