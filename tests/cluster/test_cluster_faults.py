"""One node of three dies, freezes or is cut off under load: the others go on, all is counted."""

import signal

import pytest

from consumer.core.topology import lane_queue
from dev.network import parted
from publisher_lib.broker_url import HEARTBEAT_SECONDS
from publisher_lib.routing import Lane
from tests.cluster.conftest import Stage
from tests.cluster.load import load

QUEUE = lane_queue(Lane.TRANSACTIONAL)
KILLS = 3
SOME = 200

# After at most twice a heartbeat and some seconds pika gives up on a broker that is silent.
LONG_SECONDS = 2 * HEARTBEAT_SECONDS + 20.0

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
BY_DEFAULT = pytest.mark.parametrize("cluster", ["ignore"], indirect=True)
EITHER = pytest.mark.parametrize("cluster", ["ignore", "pause_minority"], indirect=True)


@pytest.mark.faults(30, "of three brokers the queues' leader killed and started again")
@BY_DEFAULT
def test_the_leader_killed_again_and_again_loses_nothing(stage: Stage) -> None:
    scene, members = stage.scene, stage.members
    with stage.consumers():
        with load(scene.attempts, members.app_urls):
            for _kill in range(KILLS):
                scene.wait_for_more(SOME)
                leader = members.leader(QUEUE)
                leader.kill()
                scene.fault()
                scene.wait_for_more(SOME)
                leader.restart()
                members.rejoin(leader)
            members.wait_whole(QUEUE)
        scene.finish().holds()


@pytest.mark.faults(31, "of three brokers the queues' leader frozen, which accepts and is silent")
@BY_DEFAULT
def test_a_frozen_leader_holds_nobody_for_long(stage: Stage) -> None:
    scene, members = stage.scene, stage.members
    with stage.consumers():
        with load(scene.attempts, members.app_urls):
            scene.wait_for_more(SOME)
            leader = members.leader(QUEUE)
            leader.signal(signal.SIGSTOP)
            scene.fault()
            try:
                scene.wait_for_more(SOME, LONG_SECONDS)
            finally:
                leader.signal(signal.SIGCONT)
            members.rejoin(leader)
            members.wait_whole(QUEUE)
        scene.finish().holds()


@pytest.mark.faults(32, "of three brokers the queues' leader cut off from the others")
@EITHER
def test_a_leader_cut_off_from_the_others_loses_nothing(stage: Stage) -> None:
    scene, members = stage.scene, stage.members
    with stage.consumers():
        with load(scene.attempts, members.app_urls):
            scene.wait_for_more(SOME)
            leader = members.leader(QUEUE)
            with parted(leader.address, [node.address for node in members.others(leader)]):
                scene.fault()
                members.wait_led_by_another(QUEUE, leader)
                members.wait_lonely(leader)
            members.rejoin(leader)
            members.wait_whole(QUEUE)
            scene.wait_for_more(SOME)
        scene.finish().holds()
