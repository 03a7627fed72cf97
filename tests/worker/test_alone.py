"""Alone, or beside others."""

import threading

from consumer.alone import Alone
from tests.support.consumer_process import wait_until


class Working:
    """Threads that work until they are told to stop, and who is at it."""

    def __init__(self) -> None:
        self.gate = Alone()
        self.at_work: list[str] = []
        self._ends: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def begin(self, name: str, *, alone: bool = False) -> None:
        end = self._ends[name] = threading.Event()

        def work() -> None:
            with self.gate.alone() if alone else self.gate.beside_others():
                self.at_work.append(name)
                end.wait(10)
                self.at_work.remove(name)

        thread = threading.Thread(target=work)
        self._threads.append(thread)
        thread.start()

    def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()

    def are_at_work(self, *names: str) -> None:
        wait_until(lambda: sorted(self.at_work) == sorted(names), 5, f"{names}: {self.at_work}")

    def join(self) -> None:
        for thread in self._threads:
            thread.join(5)


def test_who_is_alone_waits_for_the_others_and_keeps_new_ones_waiting() -> None:
    working = Working()
    working.begin("a")
    working.begin("b")
    working.are_at_work("a", "b")
    working.begin("alone", alone=True)
    wait_until(lambda: working.gate._alone == 1, 5, "its wish")
    working.begin("c")
    working.end("a")
    working.are_at_work("b")

    working.end("b")
    working.are_at_work("alone")

    working.end("alone")
    working.are_at_work("c")
    working.end("c")
    working.join()


def test_two_are_alone_one_after_the_other() -> None:
    working = Working()
    working.begin("first", alone=True)
    working.are_at_work("first")
    working.begin("second", alone=True)
    working.are_at_work("first")

    working.end("first")
    working.are_at_work("second")

    working.end("second")
    working.join()
