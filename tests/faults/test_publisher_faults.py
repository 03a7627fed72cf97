"""Publishers idle, cut off, refused, forked, and used from everywhere at once."""

import asyncio
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from consumer.core.topology import lane_queue
from publisher_lib import Lane, Publisher, Unroutable
from publisher_lib.routing import EXCHANGE
from tests.faults.proxy import Proxy, fault_proxy
from tests.faults.publishing import ROOT, Progress
from tests.faults.scene import Scene

QUEUE = lane_queue(Lane.TRANSACTIONAL)
SHORT = timedelta(seconds=2)
HEARTBEAT_SECONDS = 4


def by_way_of(proxy: Proxy, url: str, options: str = "") -> str:
    login, _, rest = url.rpartition("@")
    return f"{login}@127.0.0.1:{proxy.port}/{rest.partition('/')[2]}{options}"


@pytest.mark.faults(3, "publisher idle for more than three heartbeats")
def test_an_idle_publisher_is_still_connected(scene: Scene) -> None:
    heartbeat = f"?heartbeat={HEARTBEAT_SECONDS}"
    with (
        fault_proxy(scene.vhost.broker.port) as proxy,
        Publisher(by_way_of(proxy, scene.vhost.app_url, heartbeat)) as publisher,
    ):
        scene.attempts.publish(publisher, "before").result()
        scene.a_while(3.2 * HEARTBEAT_SECONDS, 3.5 * HEARTBEAT_SECONDS)
        scene.fault()
        scene.attempts.publish(publisher, "after", timeout=SHORT).result()
        assert proxy.connections == 1

    with scene.consumers(1):
        scene.finish().holds()


@pytest.mark.faults(3, "idle publisher whose connection goes silent")
def test_a_connection_gone_silent_is_replaced_within_the_deadline(scene: Scene) -> None:
    heartbeat = f"?heartbeat={HEARTBEAT_SECONDS}"
    with (
        fault_proxy(scene.vhost.broker.port) as proxy,
        Publisher(by_way_of(proxy, scene.vhost.app_url, heartbeat)) as publisher,
    ):
        scene.attempts.publish(publisher, "before").result()
        proxy.abandon()
        scene.fault()
        timeout = timedelta(seconds=4 * HEARTBEAT_SECONDS)
        scene.attempts.publish(publisher, "after", timeout=timeout).result()
        assert proxy.connections == 2

    assert scene.vhost.queue_depth(QUEUE) == 2
    with scene.consumers(1):
        scene.finish().holds()


@pytest.mark.fault_smoke
@pytest.mark.faults(4, "confirms lost, then the connection reset")
def test_lost_confirms_double_nothing(scene: Scene) -> None:
    outstanding = 500
    with (
        fault_proxy(scene.vhost.broker.port) as proxy,
        Publisher(by_way_of(proxy, scene.vhost.app_url)) as publisher,
    ):
        scene.attempts.publish(publisher, "first").result()
        for round_ in range(3):
            proxy.to_client.is_dropping = True
            futures = [
                scene.attempts.publish(publisher, f"m-{round_}-{number}")
                for number in range(outstanding)
            ]
            depth = 1 + (2 * round_ + 1) * outstanding
            scene.vhost.wait_for_depth(QUEUE, depth)
            proxy.heal()
            proxy.reset()
            scene.fault()
            for future in futures:
                future.result()

    assert scene.vhost.queue_depth(QUEUE) == 1 + 6 * outstanding
    with scene.consumers(2):
        scene.finish(duplicates_allowed=0).holds()


@pytest.mark.fault_smoke
@pytest.mark.faults(7, "lane unbound, then the exchange deleted, amid a storm")
def test_what_cannot_be_routed_fails_alone(scene: Scene) -> None:
    bulk = lane_queue(Lane.BULK)
    progress = Progress()
    with scene.vhost.channel() as channel:
        channel.queue_unbind(bulk, EXCHANGE, Lane.BULK.value)
    with Publisher(scene.vhost.app_url) as publisher:
        good = [scene.attempts.publish(publisher, f"good-{number}") for number in range(300)]
        bad = [
            scene.attempts.publish(publisher, f"bad-{number}", lane=Lane.BULK)
            for number in range(50)
        ]
        scene.fault()
        assert {type(future.exception()) for future in bad} == {Unroutable}
        assert {future.exception() for future in good} == {None}

    with scene.consumers(2):
        with scene.storm(3_000, on_each=progress, timeout=SHORT):
            progress.wait_for(1_000)
            with scene.vhost.channel() as channel:
                channel.exchange_delete(EXCHANGE)
            scene.fault()
            scene.vhost.declare_topology(scene.ladder)
        count = scene.finish()
    count.holds()
    assert count.ends.failed >= {f"bad-{number}" for number in range(50)}


@pytest.mark.fault_smoke
@pytest.mark.faults(8, "queue full: at most ten messages")
def test_a_full_queue_rejects_and_loses_nothing(scene: Scene) -> None:
    scene.vhost.set_policy("full", f"^{QUEUE}$", {"max-length": 10})
    # A burst would be taken: the broker sees only afterwards that the limit is passed.
    for number in range(12):
        scene.publish(1, f"filling-{number}", timeout=SHORT)
    scene.fault()
    scene.publish(300, timeout=timedelta(seconds=4))
    ends = scene.attempts.read()
    assert len(ends.failed) >= 290
    assert not ends.unknown

    scene.vhost.delete_policy("full")
    with scene.consumers(1):
        scene.publish(300, "again")
        scene.finish().holds()


FORKING = """
import os, sys
from pathlib import Path
from publisher_lib import Publisher
from tests.faults.attempts import Attempts

attempts = Attempts(Path(sys.argv[2]))
publisher = Publisher(sys.argv[1])
attempts.storm(publisher, 100, "parent")
children = []
for child in range(4):
    pid = os.fork()
    if not pid:
        attempts.storm(publisher, 250, f"child{child}")
        os._exit(publisher.close())
    children.append(pid)
attempts.storm(publisher, 250, "parent-again")
publisher.close()
sys.exit(any(os.waitpid(pid, 0)[1] for pid in children))
"""


@pytest.mark.fault_smoke
@pytest.mark.faults(9, "publisher forked into four children amid its work")
def test_forks_of_a_publisher_publish_each_on_its_own(scene: Scene) -> None:
    with fault_proxy(scene.vhost.broker.port) as proxy:
        url = by_way_of(proxy, scene.vhost.app_url)
        arguments = [sys.executable, "-c", FORKING, url, str(scene.attempts.path)]
        subprocess.run(arguments, cwd=ROOT, check=True, timeout=60)
        scene.fault()
        assert proxy.connections == 5

    assert scene.vhost.queue_depth(QUEUE) == 1_350
    with scene.consumers(2):
        scene.finish().holds()


@pytest.mark.fault_smoke
@pytest.mark.faults(10, "sixteen threads and an event loop share a publisher")
def test_threads_and_an_event_loop_share_one_connection(scene: Scene) -> None:
    async def publish_many(publisher: Publisher) -> None:
        futures = [scene.attempts.publish(publisher, f"loop-{number}") for number in range(500)]
        await asyncio.gather(*map(asyncio.wrap_future, futures))

    with (
        fault_proxy(scene.vhost.broker.port) as proxy,
        Publisher(by_way_of(proxy, scene.vhost.app_url)) as publisher,
    ):
        threads = [
            threading.Thread(target=scene.attempts.storm, args=(publisher, 250, f"thread{number}"))
            for number in range(16)
        ]
        for thread in threads:
            thread.start()
        asyncio.run(publish_many(publisher))
        for thread in threads:
            thread.join()
        assert proxy.connections == 1

    assert scene.vhost.queue_depth(QUEUE) == 4_500
    with scene.consumers(2):
        scene.finish().holds()
