"""Of usual mail is told a moment later, many at once; of all else at once; of each exactly once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from consumer.core.handled import Handled
from consumer.core.outcome import Accepted, InDoubt, Refused, Reply, Stage
from consumer.ops.teller import LARGEST_BODY_BYTES, MOST_WAITING, Teller
from tests.ops.deliveries import handled

USUAL = handled(Accepted(Reply(250)))


class Told:
    """What was told, by which thread, in which order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.blocks = 0

    def __call__(self, *records: Handled) -> None:
        self.calls.append((threading.current_thread().name, len(records)))

    @contextmanager
    def gathered(self) -> Iterator[None]:
        self.blocks += 1
        yield

    @property
    def count(self) -> int:
        return sum(count for _thread, count in self.calls)


def test_usual_mail_is_told_of_by_a_thread_of_its_own_many_at_once() -> None:
    told = Told()
    teller = Teller(told, told.gathered)
    for _ in range(50):
        teller.tell(USUAL)
    assert told.calls == []

    teller.start()
    teller.close(10)

    assert told.count == 50
    assert {thread for thread, _count in told.calls} == {"teller"}
    assert len(told.calls) < 10
    assert told.blocks == len(told.calls)


@pytest.mark.parametrize(
    "record",
    [
        handled(InDoubt("no answer")),
        handled(Refused(Stage.RCPT, Reply(550))),
        handled(Accepted(Reply(250)), body=b"x" * (LARGEST_BODY_BYTES + 1)),
    ],
)
def test_of_all_else_is_told_before_anything_more_happens(record: Handled) -> None:
    told = Told()
    Teller(told, told.gathered).tell(record)

    assert told.calls == [("MainThread", 1)]


def test_what_waits_is_told_of_first() -> None:
    told = Told()
    teller = Teller(told, told.gathered)
    for _ in range(3):
        teller.tell(USUAL)

    teller.tell(handled(InDoubt("no answer")))

    assert told.calls == [("MainThread", 3), ("MainThread", 1)]


def test_no_more_than_so_many_wait() -> None:
    told = Told()
    teller = Teller(told, told.gathered)

    for _ in range(MOST_WAITING + 7):
        teller.tell(USUAL)

    assert told.calls == [("MainThread", MOST_WAITING), ("MainThread", 1)]


def test_of_what_comes_while_it_is_told_of_others_nothing_is_forgotten() -> None:
    told = Told()
    teller = Teller(told, nullcontext)
    teller.start()

    def tell() -> None:
        for _ in range(2000):
            teller.tell(USUAL)

    crew = [threading.Thread(target=tell) for _ in range(4)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    teller.close(10)

    assert told.count == 8000


def test_what_comes_meanwhile_waits_until_all_before_it_is_told_of() -> None:
    order: list[str] = []
    reached, go_on = threading.Event(), threading.Event()

    def tell(*records: Handled) -> None:
        if not reached.is_set():
            reached.set()
            go_on.wait(10)
        order.append(",".join(type(each.verdicts[0].outcome).__name__ for each in records))

    teller = Teller(tell, nullcontext)
    teller.start()
    teller.tell(USUAL)
    assert reached.wait(10)
    teller.tell(USUAL)
    other = threading.Thread(target=teller.tell, args=(handled(InDoubt("no answer")),))
    other.start()
    other.join(0.2)
    assert other.is_alive(), "it is told of beside the one before"
    go_on.set()
    other.join(10)
    teller.close(10)

    assert order == ["Accepted", "Accepted", "InDoubt"]


def test_what_waits_is_told_of_when_the_thread_has_died() -> None:
    told = Told()
    broken = [ZeroDivisionError()]

    def tell(*records: Handled) -> None:
        if broken:
            raise broken.pop()
        told(*records)

    teller = Teller(tell, nullcontext)
    died = threading.Event()
    before, threading.excepthook = threading.excepthook, lambda _args: died.set()
    try:
        teller.start()
        teller.tell(USUAL)
        assert died.wait(10)
    finally:
        threading.excepthook = before
    teller.tell(USUAL)
    teller.close(10)

    assert told.count == 1


def test_what_comes_after_the_end_is_told_of_at_once() -> None:
    told = Told()
    teller = Teller(told, nullcontext)
    teller.start()
    teller.close(10)

    teller.tell(USUAL)

    assert told.calls == [("MainThread", 1)]


def test_one_that_never_began_tells_at_its_end() -> None:
    told = Told()
    teller = Teller(told, nullcontext)
    teller.tell(USUAL)

    teller.close(1)

    assert told.count == 1
