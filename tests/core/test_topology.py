"""The topology keeps its promises by its arguments."""

from datetime import timedelta

from consumer.core.topology import lane_queue, retry_queue, topology
from publisher_lib.routing import Lane

DELAYS = (timedelta(seconds=30), timedelta(minutes=2), timedelta(hours=1))


def test_every_lane_has_its_own_ladder_and_all_share_one_dead_letter_queue() -> None:
    names = [queue.name for queue in topology(DELAYS).queues]

    assert names == [
        "email.dead.v1",
        "email.transactional.v1",
        "email.bulk.v1",
        "email.transactional.retry.30s.v1",
        "email.transactional.retry.2m.v1",
        "email.transactional.retry.1h.v1",
        "email.bulk.retry.30s.v1",
        "email.bulk.retry.2m.v1",
        "email.bulk.retry.1h.v1",
    ]


def test_no_queue_can_drop_a_message() -> None:
    for queue in topology(DELAYS).queues:
        assert queue.arguments["x-queue-type"] == "quorum"
        assert int(queue.arguments["x-delivery-limit"]) >= 1000
        if "x-dead-letter-exchange" in queue.arguments:
            assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
            assert queue.arguments["x-overflow"] == "reject-publish"


def test_a_message_that_waited_goes_back_to_its_own_lane() -> None:
    waiting = next(
        queue
        for queue in topology(DELAYS).queues
        if queue.name == retry_queue(Lane.BULK, DELAYS[1])
    )

    assert waiting.arguments["x-message-ttl"] == 120_000
    assert waiting.arguments["x-dead-letter-exchange"] == "email"
    assert waiting.arguments["x-dead-letter-routing-key"] == "bulk"
    assert (waiting.exchange, waiting.routing_key) == ("email.retry", "bulk.2m")


def test_the_backstop_sends_a_lanes_message_to_the_dead_letter_queue() -> None:
    lane = next(
        queue for queue in topology(DELAYS).queues if queue.name == lane_queue(Lane.TRANSACTIONAL)
    )

    assert lane.arguments["x-dead-letter-exchange"] == "email.dead"
    assert lane.arguments["x-dead-letter-routing-key"] == "dead"
    assert "x-message-ttl" not in lane.arguments
