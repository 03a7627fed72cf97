"""The fault proxy does the harm it names, and no other."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.proxy import Proxy, fault_proxy
from tests.faults.sink import AtDot, Sink, counting_sink
from tests.support.consumer_process import wait_until

MAIL = (
    b"MAIL FROM:<app@example.org>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n"
    b"Message-ID: <m-1@example.org>\r\n\r\nhello\r\n.\r\n"
)
ANSWERS = b"220 sink.test ESMTP\r\n" + b"250 2.0.0 ok\r\n" * 2 + b"354 go on\r\n250 2.0.0 taken\r\n"


@pytest.fixture
def sink() -> Iterator[Sink]:
    with counting_sink() as running:
        yield running


@pytest.fixture
def proxy(sink: Sink) -> Iterator[Proxy]:
    with fault_proxy(sink.port) as running:
        yield running


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 5)


def heard(client: socket.socket, wanted: int, seconds: float = 5.0) -> bytes:
    """Return what came until there was enough, the connection ended, or nothing came in time."""
    client.settimeout(seconds)
    found = b""
    with suppress(TimeoutError):
        while len(found) < wanted and (data := client.recv(4096)):
            found += data
    return found


def ended_by_reset(client: socket.socket) -> bool:
    try:
        return heard(client, 10_000) == b"impossible"
    except ConnectionResetError:
        return True


def test_without_harm_all_goes_through(sink: Sink, proxy: Proxy) -> None:
    with connect(proxy) as client:
        client.sendall(MAIL)

        assert heard(client, len(ANSWERS)) == ANSWERS
    assert sink.accepted() == {("m-1", "ann@example.org"): 1}


def test_a_swallowed_answer_leaves_the_client_in_doubt(sink: Sink, proxy: Proxy) -> None:
    with connect(proxy) as client:
        heard(client, 21)
        proxy.to_server.swallow_after = b"\r\n.\r\n"
        client.sendall(MAIL[:-3])
        assert heard(client, 39).endswith(b"354 go on\r\n")
        client.sendall(MAIL[-3:])

        assert ended_by_reset(client)
    assert sink.accepted().total() == 1


def test_one_way_can_be_dropped_and_the_other_goes_on(sink: Sink, proxy: Proxy) -> None:
    with connect(proxy) as client:
        heard(client, 21)
        proxy.to_client.is_dropping = True
        client.sendall(MAIL)

        wait_until(sink.accepted, what="the mail")
        assert heard(client, 1, seconds=0.3) == b""


def test_abandoned_connections_stay_silent_and_new_ones_are_served(proxy: Proxy) -> None:
    with connect(proxy) as client:
        heard(client, 21)
        proxy.abandon()
        client.sendall(MAIL)
        assert heard(client, 1, seconds=0.3) == b""

        with connect(proxy) as second:
            assert heard(second, 21) == ANSWERS[:21]


def test_what_is_held_comes_later(proxy: Proxy) -> None:
    proxy.to_client.is_held = True
    with connect(proxy) as client:
        assert heard(client, 1, seconds=0.3) == b""

        proxy.heal()

        assert heard(client, 21) == ANSWERS[:21]


def test_a_connection_is_cut_after_so_many_bytes(proxy: Proxy) -> None:
    proxy.to_client.cut_after = 4
    with connect(proxy) as client:
        assert ended_by_reset(client)


def test_chunks_can_be_late(proxy: Proxy) -> None:
    proxy.to_client.late_seconds = 0.3
    started = time.monotonic()
    with connect(proxy) as client:
        assert heard(client, 21) == ANSWERS[:21]

    assert time.monotonic() - started >= 0.3


def test_connections_are_reset_and_refused_and_taken_again(proxy: Proxy) -> None:
    with connect(proxy) as client:
        heard(client, 21)
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        proxy.reset()
        assert ended_by_reset(client)

    proxy.listen()

    with connect(proxy) as client:
        assert heard(client, 21) == ANSWERS[:21]


def test_a_stalling_sink_neither_takes_nor_answers(sink: Sink) -> None:
    sink.at_dot = lambda _message_id: AtDot.STALL
    with socket.create_connection(("127.0.0.1", sink.port), 5) as client:
        client.sendall(MAIL)
        assert heard(client, len(ANSWERS), seconds=0.3).endswith(b"354 go on\r\n")
    assert not sink.taken


@pytest.mark.parametrize(
    ("fate", "answer", "taken"),
    [
        (AtDot.TAKE, b"250", 1),
        (AtDot.TAKE_AND_HANG_UP, b"", 1),
        (AtDot.LOSE_AND_HANG_UP, b"", 0),
        (AtDot.REFUSE, b"451", 0),
    ],
)
def test_the_sink_decides_at_the_dot(sink: Sink, fate: AtDot, answer: bytes, taken: int) -> None:
    sink.at_dot = lambda _message_id: fate
    sink.answer_after_seconds = 0.05
    with socket.create_connection(("127.0.0.1", sink.port), 5) as client:
        client.sendall(MAIL)
        found = b""
        with suppress(ConnectionResetError):
            found = heard(client, len(ANSWERS))

    assert found.partition(b"354 go on\r\n")[2][:3] == answer
    assert sink.accepted().total() == taken
