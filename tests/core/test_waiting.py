"""What is told of the queues is true of whatever happens in them."""

import math
from collections import deque
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from consumer.core.delivery import Properties
from consumer.core.topology import DEAD_QUEUE, lane_queue, topology
from consumer.core.waiting import (
    Count,
    Kind,
    Place,
    Stock,
    Stocks,
    oldest_seconds,
    places,
    published_seconds,
)
from publisher_lib.routing import PUBLISHED_AT_MS, Lane

LADDER = (timedelta(seconds=30), timedelta(minutes=2))
LANE = Place(lane_queue(Lane.BULK), Kind.LANE, Lane.BULK)
RETRY = Place("email.bulk.retry.30s.v1", Kind.RETRY, Lane.BULK, timedelta(seconds=30))
NOW = 1_795_521_600.0
NONE, SOME, CONSUMED = Count(0, 0), Count(3, 1), Count(0, 2)


def test_the_places_are_the_queues_of_the_topology() -> None:
    assert {place.queue for place in places(LADDER)} == {
        queue.name for queue in topology(LADDER).queues
    }


def test_a_retry_queue_s_messages_wait_for_its_delay_at_most() -> None:
    waits = {place.queue: place.longest for place in places(LADDER) if place.longest}

    assert waits["email.bulk.retry.2m.v1"] == timedelta(minutes=2)
    assert len(waits) == 4


@pytest.mark.parametrize(
    ("place", "messages", "seen_empty", "newest", "expected"),
    [
        (LANE, 0, None, None, 0),
        (LANE, 0, NOW - 9, NOW - 3, 0),
        (LANE, 1, NOW - 9, None, NOW - 9),
        (LANE, 1, None, NOW - 3, NOW - 3),
        (LANE, 1, NOW - 9, NOW - 3, NOW - 3),
        (LANE, 1, NOW - 3, NOW - 9, NOW - 3),
        (LANE, 1, NOW + 1, None, NOW),
        (LANE, 1, NOW - 9, NOW + 3600, NOW - 9),
        (RETRY, 1, None, None, NOW - 30),
        (RETRY, 1, NOW - 31, None, NOW - 30),
        (RETRY, 1, NOW - 29, None, NOW - 29),
    ],
)
def test_the_oldest_came_after_the_latest_moment_that_is_known(
    place: Place, messages: int, seen_empty: float | None, newest: float | None, expected: float
) -> None:
    assert expected == oldest_seconds(
        place,
        messages,
        now_seconds=NOW,
        seen_empty_seconds=seen_empty,
        newest_taken_seconds=newest,
    )


def test_where_nothing_is_known_that_is_said() -> None:
    assert math.isnan(
        oldest_seconds(
            LANE, 1, now_seconds=NOW, seen_empty_seconds=NOW + 9, newest_taken_seconds=None
        )
    )


@pytest.mark.parametrize(
    ("headers", "timestamp", "expected"),
    [
        ({PUBLISHED_AT_MS: 1_795_521_599_500}, None, NOW - 0.5),
        ({PUBLISHED_AT_MS: 1_795_521_599_500}, 1, NOW - 0.5),
        ({}, int(NOW) - 2, NOW - 2),
        ({PUBLISHED_AT_MS: "soon"}, int(NOW) - 2, NOW - 2),
        ({PUBLISHED_AT_MS: int(NOW + 4) * 1000}, None, NOW),
        ({PUBLISHED_AT_MS: int(NOW + 6) * 1000}, None, None),
        ({PUBLISHED_AT_MS: 2**63}, None, None),
        ({PUBLISHED_AT_MS: -1}, None, None),
        ({PUBLISHED_AT_MS: 0}, None, None),
        ({}, None, None),
    ],
)
def test_when_a_message_was_published_is_believed_where_it_can_be(
    headers: dict[str, object], timestamp: int | None, expected: float | None
) -> None:
    found = published_seconds(Properties(headers=headers, timestamp_seconds=timestamp), NOW)

    assert found == expected


def look(stocks: Stocks, at_seconds: float, count: Count, others: Count = SOME) -> Stock:
    """Have the dead-letter queue counted, and the lanes as `others`."""
    lanes = {lane_queue(lane): others for lane in Lane}
    return stocks.look({**lanes, DEAD_QUEUE: count}, at_seconds)[-1]


def test_a_queue_that_nobody_consumes_is_empty_once_that_was_told_twice() -> None:
    stocks = Stocks(places(LADDER), {})

    first = look(stocks, NOW, NONE)
    assert (first.count, stocks.is_in_doubt, DEAD_QUEUE in stocks.seen_empty) == (NONE, True, False)

    look(stocks, NOW + 5, NONE)
    assert (stocks.is_in_doubt, stocks.seen_empty[DEAD_QUEUE]) == (False, NOW)
    assert look(stocks, NOW + 20, Count(3, 0)).oldest_seconds == NOW


def test_a_queue_that_was_away_for_a_moment_keeps_its_figures_and_its_age() -> None:
    """RabbitMQ tells of it that there is nothing in it."""
    stocks = Stocks(places(LADDER), {DEAD_QUEUE: NOW - 60})
    look(stocks, NOW, Count(50, 0))

    away = look(stocks, NOW + 15, NONE)
    back = look(stocks, NOW + 20, Count(51, 0))

    assert (away.count, away.oldest_seconds) == (Count(50, 0), NOW - 60)
    assert (back.count, back.oldest_seconds) == (Count(51, 0), NOW - 60)


def test_a_queue_is_seen_at_once_to_be_empty_by_who_consumes_it() -> None:
    stocks = Stocks(places(LADDER), {})

    look(stocks, NOW, NONE, others=CONSUMED)

    assert stocks.seen_empty == {lane_queue(lane): NOW for lane in Lane}


def test_dead_letters_in_a_person_s_hands_are_not_taken_for_gone() -> None:
    stocks = Stocks(places(LADDER), {DEAD_QUEUE: NOW - 60})
    look(stocks, NOW, Count(50, 0))

    held = look(stocks, NOW + 15, Count(0, 3))
    back = look(stocks, NOW + 30, Count(49, 0))

    assert (held.count, held.oldest_seconds) == (Count(50, 0), NOW - 60)
    assert (back.count, back.oldest_seconds) == (Count(49, 0), NOW - 60)
    assert stocks.seen_empty[DEAD_QUEUE] == NOW - 60


def test_whoever_consumes_dead_letters_for_long_takes_them_away() -> None:
    stocks = Stocks(places(LADDER), {})
    look(stocks, NOW, Count(50, 0))
    look(stocks, NOW + 1800, Count(0, 1))

    gone = look(stocks, NOW + 3600, Count(0, 1))

    assert (gone.count, gone.oldest_seconds) == (Count(0, 1), 0.0)
    assert stocks.seen_empty[DEAD_QUEUE] == NOW + 3600


def test_a_broker_that_is_cut_off_proves_no_queue_empty() -> None:
    stocks = Stocks(places(LADDER), {DEAD_QUEUE: NOW - 60})

    for second in range(0, 60, 15):
        look(stocks, NOW + second, NONE, others=NONE)

    assert stocks.seen_empty == {DEAD_QUEUE: NOW - 60}
    assert look(stocks, NOW + 60, Count(3, 0)).oldest_seconds == NOW - 60


def test_of_a_queue_that_may_not_be_looked_at_nothing_is_told() -> None:
    assert Stocks(places(LADDER), {}).look({}, NOW) == ()


@given(st.floats(NOW - 60, NOW), st.floats(NOW - 60, NOW))
def test_what_was_taken_first_proves_no_more_than_what_was_taken_last(
    one: float, other: float
) -> None:
    stocks = Stocks((LANE,), {})

    for published in (one, other):
        stocks.took(Lane.BULK, published)

    (found,) = stocks.look({LANE.queue: SOME}, NOW)
    assert found.oldest_seconds == max(one, other)


class Queues(RuleBasedStateMachine):
    """A lane and its retry queue, and a sampler that is started again and may lose its file."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.queues: dict[Place, deque[float]] = {LANE: deque(), RETRY: deque()}
        self.consumers = {LANE: 1, RETRY: 0}
        self.stocks = Stocks((LANE, RETRY), {})
        self.found: dict[Place, Stock] = {}
        self.was_away = False

    @initialize(old=st.lists(st.floats(0, 1e6), max_size=3))
    def there_were_messages_before(self, old: list[float]) -> None:
        self.queues[LANE].extend(sorted(NOW - age for age in old))

    @rule(seconds=st.floats(1, 40))
    def a_while_passes(self, seconds: float) -> None:
        self.time_passes(seconds)

    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        waiting = self.queues[RETRY]
        while waiting and waiting[0] <= self.now - 30:
            waiting.popleft()
            self.queues[LANE].append(self.now)

    @rule(place=st.sampled_from([LANE, LANE, RETRY]))
    def one_is_put(self, place: Place) -> None:
        self.queues[place].append(self.now)

    @precondition(lambda self: self.queues[LANE])
    @rule(is_told=st.booleans(), waits=st.booleans(), earlier=st.floats(0, 3600))
    def one_is_taken(self, is_told: bool, waits: bool, earlier: float) -> None:
        put = self.queues[LANE].popleft()
        if is_told:
            # A copy was published long before it came.
            self.stocks.took(Lane.BULK, put - earlier)
        if waits:
            self.queues[RETRY].append(self.now)

    @rule(consumers=st.integers(0, 2))
    def consumers_come_and_go(self, consumers: int) -> None:
        self.consumers[LANE] = consumers

    @rule(away=st.sampled_from([None, LANE, RETRY]))
    def the_queues_are_looked_at(self, away: Place | None) -> None:
        self.time_passes(1)
        away = None if self.was_away else away
        self.was_away = away is not None
        told = {
            place.queue: NONE if place is away else Count(len(held), self.consumers[place])
            for place, held in self.queues.items()
        }
        self.found = {stock.place: stock for stock in self.stocks.look(told, self.now)}
        for place, held in self.queues.items():
            if place is not away:
                assert bool(held) == bool(self.found[place].count.messages) or not held

    @rule(is_lost=st.booleans())
    def the_sampler_is_started_again(self, is_lost: bool) -> None:
        self.stocks = Stocks((LANE, RETRY), {} if is_lost else self.stocks.seen_empty)
        self.was_away = False
        self.found = {}

    @invariant()
    def nothing_that_waits_is_older_than_is_told(self) -> None:
        for place, stock in self.found.items():
            held = self.queues[place]
            if held and stock.count.messages and not math.isnan(stock.oldest_seconds):
                assert stock.oldest_seconds <= held[0] + 1e-6


TestQueues = Queues.TestCase
TestQueues.settings = settings(max_examples=300, stateful_step_count=30)
