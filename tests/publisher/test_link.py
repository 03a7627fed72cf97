"""Which message an answer of the broker is about, where timing decides what a broker would send."""

from collections import OrderedDict

import pika

from publisher_lib.link import Link
from publisher_lib.outgoing import Outgoing


def outgoing(body: bytes, message_id: str = "m") -> Outgoing:
    properties = pika.BasicProperties(message_id=message_id)
    return Outgoing("email", "transactional", properties, body, deadline=0.0, receipt=None)


def link_with(*written: Outgoing) -> Link:
    link = object.__new__(Link)
    link._unanswered = OrderedDict(enumerate(written, start=1))
    return link


def give_back(link: Link, body: bytes, message_id: str = "m") -> None:
    method = pika.spec.Basic.Return(312, "NO_ROUTE", "email", "transactional")
    link._returned(None, method, pika.BasicProperties(message_id=message_id), body)


def test_a_returned_message_is_told_by_its_id_and_body_then_by_order() -> None:
    written = [outgoing(b"a"), outgoing(b"b"), outgoing(b"b"), outgoing(b"b", "other")]
    link = link_with(*written)

    give_back(link, b"b")
    assert [bool(one.returned) for one in written] == [False, True, False, False]
    give_back(link, b"b")
    assert [bool(one.returned) for one in written] == [False, True, True, False]
    give_back(link, b"b", "other")
    assert [bool(one.returned) for one in written] == [False, True, True, True]


def test_an_ack_is_for_its_number_or_for_all_up_to_it() -> None:
    a, b, c, d = written = [outgoing(b"a"), outgoing(b"b"), outgoing(b"c"), outgoing(b"d")]
    link = link_with(*written)

    assert link._take(2, multiple=False) == [b]
    assert link._take(3, multiple=True) == [a, c]
    assert not link.is_idle
    assert link._take(4, multiple=True) == [d]
    assert link.is_idle
