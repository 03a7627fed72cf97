"""No ack is for a delivery that is not settled, and each that is settled is acked once."""

from hypothesis import given
from hypothesis import strategies as st

from consumer.amqp.acks import Acks


class Channel:
    """What a broker makes of the acks of a channel with so many deliveries."""

    def __init__(self, deliveries: int) -> None:
        self.unacked = set(range(1, deliveries + 1))

    def ack(self, tag: int, multiple: bool) -> set[int]:
        """Return the tags that are acked with it."""
        assert tag in self.unacked, "unknown delivery tag"
        acked = {each for each in self.unacked if each <= tag} if multiple else {tag}
        self.unacked -= acked
        return acked

    def requeue(self, tags: list[int]) -> None:
        """Take back what was not settled."""
        assert self.unacked.issuperset(tags)
        self.unacked.difference_update(tags)


@given(st.permutations(range(1, 30)), st.lists(st.integers(1, 12), min_size=30, max_size=30))
def test_what_is_settled_is_acked_at_once_and_nothing_else(
    order: list[int], sizes: list[int]
) -> None:
    acks, channel = Acks(), Channel(40)
    left = list(order)
    for size in sizes:
        tags, left = left[:size], left[size:]

        acked = [channel.ack(*ack) for ack in acks.of(tags)]

        assert sorted(tag for some in acked for tag in some) == sorted(tags)


def test_tags_in_a_row_cost_one_ack() -> None:
    acks = Acks()

    assert list(acks.of([2, 1, 3])) == [(3, True)]
    assert list(acks.of([4])) == [(4, False)]
    assert list(acks.of([6, 7])) == [(6, False), (7, False)]
    assert list(acks.of([5, 8, 10])) == [(8, True), (10, False)]
    assert list(acks.of([])) == []


@given(st.permutations(range(1, 30)), st.sets(st.integers(1, 29)), st.integers(1, 7))
def test_what_was_given_back_is_never_acked_nor_holds_up_the_rest(
    order: list[int], given_back: set[int], size: int
) -> None:
    acks, channel = Acks(), Channel(40)
    left = list(order)
    while left:
        tags, left = left[:size], left[size:]
        back, done = sorted(given_back & set(tags)), [t for t in tags if t not in given_back]
        channel.requeue(back)
        acks.settled(back)

        acked = [channel.ack(*ack) for ack in acks.of(done)]

        assert sorted(tag for some in acked for tag in some) == sorted(done)
    assert list(acks.of([30, 31])) == [(31, True)]
