"""Forks, exits and garbage: what ends takes its thread and connection along, nobody else's."""

import gc
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from socket import socketpair

import pytest

from publisher_lib import Publisher, io_thread
from publisher_lib.broker_url import read_urls
from publisher_lib.loop import Loop
from tests.publisher.connections import connections
from tests.publisher.emails import QUEUE, email
from tests.support.broker import VirtualHost
from tests.support.consumer_process import wait_until

NOWHERE = "amqp://webapp:secret@127.0.0.1:1/"
EACH = 25


def ids(vhost: VirtualHost) -> list[str]:
    return [message.properties.message_id for message in vhost.take_all(QUEUE)]


def publish_some(publisher: Publisher, name: str) -> None:
    for number in range(EACH):
        publisher.publish(email(number), message_id=f"{name}-{number}")


def forked(publisher: Publisher, name: str) -> int:
    """Publish from a forked child; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        publish_some(publisher, name)
        code = 0 if publisher.close() == 0 else 2
    finally:
        os._exit(code)


def test_forked_children_publish_beside_their_parent_each_message_once(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with Publisher(vhost.app_url, app_id="forking") as publisher:
        publisher.publish(email(), message_id="before")
        wait_until(lambda: len(connections(vhost, "forking")) == 1)
        before = connections(vhost, "forking")
        link = link_of(publisher)
        in_flight = [publisher.publish_nowait(email(n), message_id=f"p-{n}") for n in range(EACH)]
        children = [forked(publisher, f"child{number}") for number in range(4)]
        for future in in_flight:
            future.result(10)
        publish_some(publisher, "parent")
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        publish_some(publisher, "after")
        wait_until(lambda: len(connections(vhost, "forking")) == 1)

        assert codes == [0, 0, 0, 0]
        assert link_of(publisher) is link, "the parent's connection must go on undisturbed"
        assert connections(vhost, "forking") == before

    names = ["parent", "after", "p", "child0", "child1", "child2", "child3"]
    expected = {"before"} | {f"{name}-{number}" for name in names for number in range(EACH)}
    arrived = ids(vhost)
    assert set(arrived) == expected
    assert len(arrived) == len(expected)


def names_of_descriptors() -> dict[int, str]:
    """Return this process's descriptors and what they are, sockets by their inode."""
    names = {}
    for path in Path("/proc/self/fd").iterdir():
        # The folder's own descriptor is gone by now.
        with suppress(FileNotFoundError):
            names[int(path.name)] = str(path.readlink())
    return names


def link_of(publisher: Publisher) -> object:
    thread = publisher._submitter._confirmed._process().thread
    assert thread is not None
    assert thread._courier._link is not None
    return thread._courier._link


def test_a_child_that_only_exits_leaves_its_parents_connection_alone(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with Publisher(vhost.app_url) as publisher:
        publisher.publish(email(), message_id="before")
        link = link_of(publisher)
        thread = publisher._submitter._confirmed._process().thread
        assert thread is not None
        (connection,) = thread._loop._watched
        before = names_of_descriptors()[connection]
        pid = os.fork()
        if not pid:
            gc.collect()
            os._exit(int(before in names_of_descriptors().values()))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        publisher.publish(email(), message_id="after")

        assert code == 0, "the child must hold nothing of its parent's connection"
        assert names_of_descriptors()[connection] == before
        assert link_of(publisher) is link
    assert ids(vhost) == ["before", "after"]


def test_where_fork_hooks_do_not_run_the_process_id_tells(
    vhost: VirtualHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    vhost.declare_topology()
    publisher = Publisher(vhost.app_url)
    publisher.publish(email(), message_id="parent")
    parents = publisher._submitter._confirmed._process().thread
    assert parents is not None

    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: 1)
        publisher.publish(email(), message_id="child")
        childs = publisher._submitter._confirmed._process().thread
        parents.close_at_exit()
        assert publisher.close() == 0

    assert childs is not parents
    assert parents._thread.is_alive(), "the child must not close what is its parent's"
    assert parents.close(5) == 0
    assert ids(vhost) == ["parent", "child"]


def test_an_abandoned_connection_is_dropped_without_a_word() -> None:
    ours, peer = socketpair()
    loop = Loop()
    loop.add_handler(ours.fileno(), lambda *_event: None, Loop.READ)

    loop.abandon()

    assert str(Path(f"/proc/self/fd/{ours.fileno()}").readlink()) == os.devnull
    assert peer.recv(1) == b""
    loop.remove_handler(ours.fileno())
    ours.close()
    peer.close()
    loop.close()


def test_a_child_abandons_every_thread_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = io_thread.IOThread(read_urls(NOWHERE, "test"))
    monkeypatch.setattr(io_thread, "_running", {idle})

    io_thread._abandon_in_child()

    assert not io_thread._running
    assert idle.close(5) == 0


def test_what_nobody_waited_for_is_flushed_when_the_interpreter_exits(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    program = f"""
from publisher_lib import Publisher
from tests.publisher.emails import email
publisher = Publisher({vhost.app_url!r})
for number in range(300):
    publisher.publish_nowait(email(number), message_id=str(number))
Publisher({vhost.app_url!r}).publish_nowait(email(), message_id="garbage")
"""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )

    assert sorted(ids(vhost)) == sorted(["garbage", *map(str, range(300))])


def test_exit_closes_what_runs(vhost: VirtualHost, monkeypatch: pytest.MonkeyPatch) -> None:
    vhost.declare_topology()
    publisher = Publisher(vhost.app_url)
    future = publisher.publish_nowait(email(), message_id="last")
    thread = publisher._submitter._confirmed._process().thread
    assert thread is not None
    monkeypatch.setattr(io_thread, "_running", {thread})

    io_thread._close_at_exit()

    assert future.done()
    assert not thread._thread.is_alive()
    assert ids(vhost) == ["last"]


def test_a_collected_publisher_leaves_no_thread_and_no_connection(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    publisher = Publisher(vhost.app_url, app_id="forgotten")
    future = publisher.publish_nowait(email(), message_id="kept")
    thread = publisher._submitter._confirmed._process().thread
    assert thread is not None

    del publisher
    gc.collect()
    wait_until(lambda: not thread._thread.is_alive())

    assert future.result(0).message_id == "kept"
    assert ids(vhost) == ["kept"]
    wait_until(lambda: not connections(vhost, "forgotten"))


def test_a_collected_publisher_that_was_never_used_is_nothing() -> None:
    before = set(threading.enumerate())

    publisher = Publisher(NOWHERE)
    del publisher
    used = Publisher(NOWHERE)
    assert "not connected" in repr(used)
    del used
    gc.collect()

    assert set(threading.enumerate()) == before


def test_what_ends_by_itself_takes_nothing_more() -> None:
    idle = io_thread.IOThread(read_urls(NOWHERE, "test"))

    idle.retire()

    wait_until(lambda: not idle._thread.is_alive())
    assert idle.carry(None) is False  # type: ignore[arg-type]  # it is not looked at
