"""`hopmail deadletters replay` with real consumers, brokers and relays, however it ends."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from consumer.core.disposition import Reason
from consumer.core.topology import DEAD_QUEUE, lane_queue
from publisher_lib.routing import Lane
from tests.cli.command import ROOT, environment, hopmail
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.dead_letters import bury, dead_letter, email, lying, many
from tests.support.smtp_script import say
from tests.support.smtp_server import smtp_server
from tests.support.smtp_sink import SmtpSink, smtp_sink

NOWHERE = "smtp://127.0.0.1:9?tls=none"
COUNT = 200
KILLS = 4
TWO_DAYS_SECONDS = 172_800


def _has_sent(sink: SmtpSink, count: int) -> bool:
    return sink.count() >= count


@contextmanager
def replaying(vhost: VirtualHost, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """Have a replay of all run for the length of a block."""
    with subprocess.Popen(
        [sys.executable, "-m", "consumer", "deadletters", "replay", "--all", "--yes", *options],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def replay(vhost: VirtualHost, *options: str) -> str:
    ended = hopmail("deadletters", "replay", *options, amqp_url=vhost.url, smtp_url=NOWHERE)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_killed_again_and_again_each_is_sent_once(vhost: VirtualHost, tmp_path: Path) -> None:
    vhost.declare_topology()
    bury(vhost, *many(COUNT))
    ids = {f"m-{number}" for number in range(COUNT)}

    with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url) as consumer:
        for kill in range(KILLS):
            with replaying(vhost, "--rate", "40") as process:
                wait_until(partial(_has_sent, sink, kill * 20 + 10), 60, "some of them sent")
                process.send_signal(signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL
        replay(vhost, "--all", "--yes")
        assert vhost.queue_depth(DEAD_QUEUE) == 0
        wait_until(lambda: set(sink.message_ids()) == ids, what="all of them sent")
        assert consumer.terminate() == 0
        assert vhost.queue_depth(lane_queue(Lane.TRANSACTIONAL)) == 0
        assert sink.message_ids() == dict.fromkeys(ids, 1)
    assert vhost.queue_depth(DEAD_QUEUE) == 0


def test_interrupted_it_stops_and_says_what_is_left(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    bury(vhost, *many(COUNT))

    with replaying(vhost, "--rate", "50") as process:
        lane = lane_queue(Lane.TRANSACTIONAL)
        wait_until(lambda: vhost.queue_depth(lane) >= 10, what="some of them given back")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[0]

    assert process.returncode == 1
    given = vhost.queue_depth(lane)
    assert f"✓ {given} dead letters given back to be sent" in said
    assert f"✗ stopped; {COUNT - given} dead letters left in the queue" in said
    assert vhost.queue_depth(DEAD_QUEUE) == COUNT - given


def test_killed_between_confirm_and_ack_the_second_copy_is_not_sent(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    vhost.declare_topology()
    bury(vhost, dead_letter("m-1"))
    dies = (
        "import os, signal; from consumer.amqp.dead_letters import DeadLetters;"
        "DeadLetters.ack = lambda *_arguments: os.kill(os.getpid(), signal.SIGKILL);"
        "from consumer.__main__ import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", dies, "deadletters", "replay", "--all", "--yes"],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    vhost.wait_for_depth(DEAD_QUEUE, 1)
    assert vhost.queue_depth(lane_queue(Lane.TRANSACTIONAL)) == 1

    with smtp_sink(tmp_path) as sink, consuming(vhost.url, sink.url) as consumer:
        wait_until(lambda: sink.count() == 1, what="the first copy")
        replay(vhost, "m-1", "--yes")
        wait_until(lambda: len(consumer.handled("m-1")) == 2, what="the second copy")
        assert [line["outcome"] for line in consumer.handled("m-1")] == ["accepted", "duplicate"]
        assert sink.count() == 1
    assert vhost.queue_depth(DEAD_QUEUE) == 0


def test_without_the_broker_s_word_a_dead_letter_stays(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    bury(vhost, dead_letter("m-1"), dead_letter("m-2", Reason.IN_DOUBT), dead_letter("m-3"))
    with vhost.channel() as channel:
        channel.queue_delete(lane_queue(Lane.TRANSACTIONAL))

    for command in (
        ("replay", "m-1", "m-3", "--yes"),
        ("resolve", "m-2", "--resend"),
        ("edit", "m-3", "--set", "subject=Mended", "--yes"),
    ):
        ended = hopmail("deadletters", *command, amqp_url=vhost.url, smtp_url=NOWHERE)
        assert ended.returncode == 1
        assert "✗ not published: " in ended.stderr
    assert lying(vhost) == ["m-1", "m-2", "m-3"]


def test_a_long_replay_gives_back_what_it_does_not_need_in_between(vhost: VirtualHost) -> None:
    """Else what it holds all the while would meet the broker's consumer timeout."""
    vhost.declare_topology()
    bury(vhost, *many(7))
    in_rounds = (
        "from consumer.cli.deadletters import replay; replay.ROUND_SECONDS = 0.0;"
        "from consumer.amqp.dead_letters import DeadLetters; close = DeadLetters.close;"
        "DeadLetters.close = lambda self: (close(self), print('given back'));"
        "from consumer.__main__ import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", in_rounds, "deadletters", "replay", "--reason", "refused", "--yes"],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.stdout.endswith("✓ 4 dead letters given back to be sent\n"), ended.stderr
    assert ended.stdout.count("given back\n") >= 1 + 4
    sent = vhost.take_all(lane_queue(Lane.TRANSACTIONAL))
    assert [each.properties.message_id for each in sent] == ["m-0", "m-2", "m-4", "m-6"]
    assert lying(vhost) == ["m-1", "m-3", "m-5"]


def test_a_replayed_mail_counts_from_its_replay(vhost: VirtualHost) -> None:
    rules = {"RCPT": [say("550 5.1.1 nobody here")]}
    with smtp_server(rules) as server, consuming(vhost.url, server.url) as consumer:
        vhost.publish_raw(email(), message_id="m-1", timestamp=int(time.time()) - TWO_DAYS_SECONDS)
        wait_until(lambda: vhost.queue_depth(DEAD_QUEUE) == 1, what="the dead letter")

        told = replay(vhost, "m-1", "--yes")
        wait_until(lambda: len(consumer.handled("m-1")) == 2, what="the mail")

    assert told == "       1 refused\n✓ 1 dead letter given back to be sent\n"
    again = consumer.handled("m-1")[1]
    assert (again["outcome"], again["attempt"]) == ("accepted", 1)
    assert again["latency_seconds"] < TWO_DAYS_SECONDS / 2
    assert len(server.mails) == 1
    assert vhost.queue_depth(DEAD_QUEUE) == 0


def test_how_often_it_was_replayed_is_counted(vhost: VirtualHost) -> None:
    rules = {"RCPT": say("550 5.1.1 nobody here")}
    with smtp_server(rules) as server, consuming(vhost.url, server.url):
        vhost.publish_raw(email(), message_id="m-1")
        for _time in range(2):
            wait_until(lambda: vhost.queue_depth(DEAD_QUEUE) == 1, what="the dead letter")
            replay(vhost, "m-1", "--yes")
        (dead,) = vhost.dead_letters(1)

    assert dead.headers["x-hopmail-replayed"] == 2


def test_one_that_rabbitmq_moved_is_sent_as_the_app_s_own(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    app = f"webapp-{vhost.name}"
    vhost.publish_raw(
        email(), lane=Lane.BULK, message_id="m-1", url=vhost.app_url, user_id=app, expiration="1"
    )
    wait_until(lambda: vhost.queue_depth(DEAD_QUEUE) == 1, what="the expired message")

    told = replay(vhost, "--reason", "rabbitmq_expired", "--yes")

    assert told.startswith("       1 rabbitmq_expired\n")
    with smtp_server() as server, consuming(vhost.url, server.url) as consumer:
        wait_until(lambda: consumer.handled("m-1"), what="the mail")
        vhost.publish_raw(email(), message_id="m-1", url=vhost.app_url, user_id=app)
        wait_until(lambda: len(consumer.handled("m-1")) == 2, what="the app's own copy")
        assert [line["outcome"] for line in consumer.handled("m-1")] == ["accepted", "duplicate"]
        assert consumer.handled("m-1")[0]["lane"] == "bulk"


def test_what_is_in_doubt_or_not_trusted_is_left_unless_it_is_named(vhost: VirtualHost) -> None:
    vhost.declare_topology()
    bury(vhost, dead_letter("m-1", Reason.IN_DOUBT))
    bury(vhost, letter := dead_letter("m-2"), signer=f"webapp-{vhost.name}")
    bury(vhost, letter)
    assert replay(vhost, "m-2", "--yes").endswith("✓ 1 dead letter given back to be sent\n")
    vhost.purge(lane_queue(Lane.TRANSACTIONAL))

    left = hopmail("deadletters", "replay", "--all", "--yes", amqp_url=vhost.url, smtp_url=NOWHERE)
    assert left.returncode == 1
    assert "1 not sent again: in doubt" in left.stdout
    assert "1 not sent again: no login that is trusted signed" in left.stdout
    assert left.stderr == "✗ none of them can be sent again as it is\n"
    assert vhost.queue_depth(DEAD_QUEUE) == 2

    replay(vhost, "--reason", "in_doubt", "--yes")
    replay(vhost, "m-2", "--believe", "--yes")
    copies = vhost.take_all(lane_queue(Lane.TRANSACTIONAL))
    assert [copy.properties.message_id for copy in copies] == ["m-1", "m-2"]
    assert [copy.headers["x-hopmail-pending"] for copy in copies] == [["ada@example.org"]] * 2
