"""Dead letters past their retention: announced, then removed, and no others with them."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from consumer.amqp import retention
from consumer.amqp.dead_letters import dead_letters
from consumer.amqp.retention import Retention
from consumer.core.disposition import Reason
from consumer.core.permissions import CONSUMER, CONSUMER_WITH_RETENTION, User
from consumer.core.topology import DEAD_QUEUE
from tests.support.broker import VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.dead_letters import bury, dead_letter, lying

MONTH = timedelta(days=30)
NOTICE = timedelta(seconds=1)


@pytest.fixture
def keeper(
    vhost: VirtualHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[tuple[Retention, list[str]]]:
    """What keeps a queue of old and young, ours and others', and the reasons of what it removed."""
    vhost.declare_topology()
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(retention, "PASS_SECONDS", 0.1)
    monkeypatch.setattr(retention, "AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(retention, "NOTICE", NOTICE)
    caplog.set_level(logging.INFO, "consumer.amqp.retention")
    bury(
        vhost,
        dead_letter("old-1", age=MONTH * 2),
        dead_letter("young", age=MONTH / 2),
        dead_letter("old-2", Reason.INVALID, age=MONTH * 2),
    )
    bury(vhost, dead_letter("strange", age=MONTH * 2), signer=f"webapp-{vhost.name}")
    vhost.publish_raw(b"{}", exchange="email.dead", lane="dead", message_id="unknown")
    found: list[str] = []
    login = f"hopmail-{vhost.name}"
    keeper = Retention((vhost.url,), MONTH, frozenset({login}), found.append)
    yield keeper, found
    keeper.close(5)


def events(caplog: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.getMessage() == event]


def test_they_are_announced_and_then_removed_and_no_others(
    vhost: VirtualHost, keeper: tuple[Retention, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    retention, removed = keeper
    retention.start()

    wait_until(lambda: events(caplog, "dead letters removed"), what="the removal")
    assert sorted(removed) == ["invalid", "refused"]
    (announced,) = events(caplog, "dead letters will be removed")
    assert announced.__dict__["count"] == 2
    assert announced.__dict__["older_than"] == "30d"
    (told,) = events(caplog, "dead letters removed")
    assert told.__dict__["count"] == 2
    assert told.created - announced.created >= NOTICE.total_seconds() * 0.9
    vhost.wait_for_depth(DEAD_QUEUE, 3)
    retention.close(5)
    assert {*lying(vhost)} == {"young", "strange", "unknown"}


def test_while_a_person_has_them_in_hands_nothing_is_removed(
    vhost: VirtualHost, keeper: tuple[Retention, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    retention, removed = keeper
    with dead_letters((vhost.url,)) as queue:
        retention.start()
        wait_until(
            lambda: len(events(caplog, "dead letters not looked through")) >= 3,
            60,
            what="passes that had to wait",
        )
        assert len(queue.find(lambda _each: True)) == 5
        assert not events(caplog, "dead letters will be removed")
    wait_until(lambda: len(removed) == 2, what="the removal")


def test_the_least_rights_keep_them_unless_they_are_to_allow_it(
    vhost: VirtualHost, keeper: tuple[Retention, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    login = "hopmail-" + vhost.name
    grant(vhost, User(login, CONSUMER))
    retention, removed = keeper
    retention.start()
    wait_until(lambda: events(caplog, "dead letters not looked through"), what="the refusal")
    grant(vhost, User(login, CONSUMER_WITH_RETENTION))
    wait_until(lambda: len(removed) == 2, what="the removal")

    refusal = events(caplog, "dead letters not looked through")[0]
    assert refusal.levelname == "WARNING"
    assert "--retention" in refusal.__dict__["detail"]


def grant(vhost: VirtualHost, user: User) -> None:
    """Give a login the rights of its role, and no others."""
    rights = user.permission(vhost.name)
    vhost.broker.request("PUT", f"permissions/{vhost.name}/{user.login}", rights)
