"""The dead-letter queue, looked through: nothing is lost, and its order stays."""

from typing import Any

import pytest

from consumer.amqp.connection import BrokerUnavailable
from consumer.amqp.dead_letters import DeadLetters, Stopped, dead_letters
from consumer.amqp.hold import Hold, InOtherHands
from consumer.core.delivery import Delivery
from consumer.core.topology import DEAD_QUEUE
from tests.support.broker import VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.dead_letters import bury, dead_letter, lying, many

PIECE = 20
COUNT = 150
LISTINGS = 50
IDS = [f"m-{number}" for number in range(COUNT)]


@pytest.fixture
def buried(vhost: VirtualHost) -> VirtualHost:
    """A virtual host with 150 dead letters."""
    vhost.declare_topology()
    bury(vhost, *many(COUNT))
    return vhost


def ids(queue: DeadLetters) -> list[str | None]:
    return list(queue.each(lambda delivery: delivery.properties.message_id))


def test_listed_fifty_times_nothing_is_dropped_and_the_order_stays(buried: VirtualHost) -> None:
    for _listing in range(LISTINGS):
        with dead_letters((buried.url,), PIECE) as queue:
            assert queue.count == COUNT
            assert ids(queue) == IDS

    assert lying(buried) == IDS


def test_more_than_one_consumer_may_hold_are_all_seen(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    bury(vhost, *many(2500))
    wanted = [f"m-{number}" for number in range(2500)]

    for _listing in range(2):
        with dead_letters((vhost.url,), 1000) as queue:
            assert ids(queue) == wanted

    assert lying(vhost) == wanted


def test_what_is_acked_is_gone_and_the_rest_stays_in_its_order(buried: VirtualHost) -> None:
    with dead_letters((buried.url,), PIECE) as queue:
        for delivery in queue.each(_odd):
            queue.ack(delivery)

    assert lying(buried) == IDS[::2]


def _odd(delivery: Delivery) -> Delivery | None:
    return delivery if int((delivery.properties.message_id or "").removeprefix("m-")) % 2 else None


@pytest.mark.parametrize("looked", [0, 1])
@pytest.mark.parametrize("seen", [0, 1, 30])
def test_left_early_everything_goes_back_to_its_place(
    buried: VirtualHost, seen: int, looked: int
) -> None:
    for _time in range(looked):
        with dead_letters((buried.url,), PIECE) as queue:
            assert ids(queue) == IDS

    with dead_letters((buried.url,), PIECE) as queue:
        each = queue.each(lambda delivery: delivery.properties.message_id)
        assert [next(each) for _ in range(seen)] == IDS[:seen]

    assert lying(buried) == IDS


@pytest.mark.parametrize("seen", [0, 30])
def test_stopped_it_ends_between_two_and_their_order_stays(buried: VirtualHost, seen: int) -> None:
    with dead_letters((buried.url,), PIECE) as queue:
        assert ids(queue) == IDS
    with dead_letters((buried.url,), PIECE) as queue:
        each = queue.each(lambda delivery: delivery.properties.message_id)
        assert [next(each) for _ in range(seen)] == IDS[:seen]
        queue.is_stopped = lambda: True
        with pytest.raises(Stopped):
            next(each)

    assert lying(buried) == IDS


def test_torn_in_the_middle_of_a_delivery_nothing_is_lost(
    buried: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumer.amqp.dead_letters.PATIENCE_SECONDS", 3600.0)

    with pytest.raises(KeyboardInterrupt), dead_letters((buried.url,), PIECE) as queue:
        queue.find(_torn)

    buried.wait_for_depth(DEAD_QUEUE, COUNT)
    assert set(lying(buried)) == set(IDS)


def _torn(delivery: Delivery) -> bool:
    if delivery.properties.message_id == "m-7":
        raise KeyboardInterrupt
    return True


def test_what_comes_meanwhile_is_left_for_the_next_time(buried: VirtualHost) -> None:
    with dead_letters((buried.url,), PIECE) as queue:
        each = queue.each(lambda delivery: delivery.properties.message_id)
        first = next(each)
        late = VirtualHost(buried.broker, buried.name)
        for number in range(30):
            late.publish_raw(b"{}", exchange="email.dead", lane="dead", message_id=f"late-{number}")
        assert [first, *each] == IDS

    assert lying(buried) == IDS + [f"late-{number}" for number in range(30)]


def test_what_comes_meanwhile_is_left_where_all_others_are_taken(buried: VirtualHost) -> None:
    late = ["late-1", "late-2", "late-3"]
    taken: list[str | None] = []
    with dead_letters((buried.url,), PIECE) as queue:
        for delivery in queue.each(lambda each: each):
            if not taken:
                for name in late:
                    buried.publish_raw(b"{}", exchange="email.dead", lane="dead", message_id=name)
            queue.ack(delivery)
            taken.append(delivery.properties.message_id)

    assert taken == IDS
    assert lying(buried) == late


def test_of_two_who_look_at_once_one_waits(buried: VirtualHost) -> None:
    with dead_letters((buried.url,), PIECE) as queue:
        with (
            pytest.raises(InOtherHands, match="try again"),
            dead_letters((buried.url,), PIECE, 0.3),
        ):
            pass
        assert ids(queue) == IDS
    with dead_letters((buried.url,), PIECE, 0.3) as queue:
        assert ids(queue) == IDS


def test_those_that_come_late_are_seen_all_the_same(
    buried: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumer.amqp.dead_letters.QUIET_SECONDS", 0.0)

    with dead_letters((buried.url,), COUNT) as queue:
        assert ids(queue) == IDS


def test_a_lost_connection_is_told_as_such_and_loses_nothing(buried: VirtualHost) -> None:
    with pytest.raises(BrokerUnavailable, match="CONNECTION_FORCED"):
        _take_odd_ones_until_cut(buried)

    buried.wait_for_depth(DEAD_QUEUE, COUNT - 16)
    assert set(lying(buried)) == set(IDS) - {f"m-{number}" for number in range(1, 32, 2)}


def _take_odd_ones_until_cut(vhost: VirtualHost) -> None:
    with dead_letters((vhost.url,), PIECE) as queue:
        for delivery in queue.each(_odd):
            queue.ack(delivery)
            if delivery.properties.message_id == "m-31":
                wait_until(lambda: _is_cut(vhost), what="the connection")
                queue.wait(5)


def _is_cut(vhost: VirtualHost) -> bool:
    """Have the broker cut what it knows of: it learns of a connection a moment later."""
    vhost.close_connections()
    return vhost.consumers_of(DEAD_QUEUE) == 0


def test_one_that_somebody_gets_meanwhile_is_not_awaited(buried: VirtualHost) -> None:
    with dead_letters((buried.url,), PIECE) as queue:
        each = queue.each(lambda delivery: delivery.properties.message_id)
        first = next(each)
        with buried.channel() as channel:
            channel.basic_get(DEAD_QUEUE)
            assert len([first, *each]) == COUNT - 1
        assert queue.unseen == 1

    assert sorted(lying(buried)) == sorted(IDS)


def test_none_is_believed_only_where_none_can_be_got(
    buried: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As none is told of a queue whose leader is away."""
    told, real = iter([0]), Hold._state

    def state(hold: Hold) -> Any:
        found = real(hold)
        found.message_count = next(told, found.message_count)
        return found

    monkeypatch.setattr(Hold, "_state", state)

    with dead_letters((buried.url,), PIECE) as queue:
        assert ids(queue) == IDS


def test_a_queue_that_is_not_there_is_told_with_its_cure(vhost: VirtualHost) -> None:
    with (
        pytest.raises(BrokerUnavailable, match="hopmail topology apply"),
        dead_letters((vhost.url,)),
    ):
        pass


def test_an_empty_queue_has_nothing_to_show(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with dead_letters((vhost.url,)) as queue:
        assert ids(queue) == []

    bury(vhost, dead_letter("m-1"))
    assert lying(vhost) == ["m-1"]
