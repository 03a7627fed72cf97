"""`hopmail topology migrate`: from a v0 layout to today's, and interrupted at any point."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pika
import pytest

from consumer.amqp import migrate as migrate_module
from consumer.amqp.declare import ACCESS_REFUSED
from consumer.amqp.migrate import Moved, move
from consumer.amqp.migrated_copy import Signing
from consumer.amqp.old_queues import unbind
from consumer.core.migration import Pair, pair
from consumer.core.topology import DEAD_QUEUE, lane_queue, topology
from publisher_lib.routing import Lane
from tests.cli.command import ROOT, environment, hopmail
from tests.support.broker import LADDER, Message, VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.roles import least_privilege
from tests.support.smtp_sink import smtp_sink

NOWHERE = "smtp://127.0.0.1:9?tls=none"
TRANSACTIONAL, BULK = map(lane_queue, Lane)

OLD = "email.transactional.v0"
OLD_BULK = "email.bulk"
OLD_RETRY = "email.transactional.retry.1s.v0"
OLD_DEAD = "email.dead.v0"

V0: dict[str, tuple[str, str, dict[str, Any]]] = {
    OLD: ("email", "transactional", {"x-queue-type": "classic"}),
    OLD_BULK: ("email", "bulk", {"x-queue-type": "quorum", "x-max-length": 100_000}),
    OLD_RETRY: (
        "email.retry",
        "transactional.1s",
        {
            "x-message-ttl": 3_600_000,
            "x-dead-letter-exchange": "email",
            "x-dead-letter-routing-key": "transactional",
        },
    ),
    OLD_DEAD: ("email.dead", "dead", {"x-queue-type": "quorum"}),
}
"""Queues as an earlier layout may have had them: other names, types and arguments."""

EMAIL = {
    "email_to": "ada@example.org",
    "email_from": "app@example.org",
    "subject": "Hi",
    "message": {"text": "Hello"},
}


@pytest.fixture
def v0(vhost: VirtualHost) -> VirtualHost:
    """A virtual host with the queues of an earlier layout, and none of today's."""
    with vhost.channel() as channel:
        for queue, (exchange, key, arguments) in V0.items():
            channel.exchange_declare(exchange, exchange_type="direct", durable=True)
            channel.queue_declare(queue, durable=True, arguments=arguments)
            channel.queue_bind(queue, exchange, key)
    return vhost


def migrate(vhost: VirtualHost, *arguments: str, **settings: object) -> tuple[int, str]:
    known: dict[str, object] = {
        "amqp_url": vhost.url,
        "smtp_url": NOWHERE,
        "retry_delays": "1s,2s",
    }
    ended = hopmail("topology", "migrate", *arguments, **(known | settings))
    return ended.returncode, ended.stdout + ended.stderr


def publish(vhost: VirtualHost, count: int, lane: str = Lane.TRANSACTIONAL, **more: Any) -> None:
    """Publish emails m-0, m-1 and so on of the login `webapp`."""
    user = f"webapp-{vhost.name}"
    with vhost.channel(vhost.app_url) as channel:
        channel.confirm_delivery()
        for number in range(count):
            known: dict[str, Any] = {
                "message_id": f"m-{number}",
                "type": "email.v1",
                "content_type": "application/json",
                "delivery_mode": 2,
                "timestamp": int(time.time()),
                "user_id": user,
                "app_id": "shop",
            }
            channel.basic_publish(
                "email",
                lane,
                json.dumps(EMAIL).encode(),
                pika.BasicProperties(**{**known, **more}),
                mandatory=True,
            )


def run(change: str, vhost: VirtualHost, queue: str) -> "subprocess.CompletedProcess[str]":
    """Migrate a queue in a process in which something is changed."""
    script = (
        f"from consumer.amqp import migrate; from consumer.cli import migrate as cli; {change}\n"
        "from consumer.__main__ import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", script, "topology", "migrate", queue],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE, retry_delays="1s,2s"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ids(found: list[Message]) -> list[str]:
    return [each.properties.message_id for each in found]


def exists(vhost: VirtualHost, queue: str) -> bool:
    with vhost.channel() as channel:
        try:
            channel.queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
    return True


def test_every_queue_of_a_v0_layout_is_emptied_into_todays(v0: VirtualHost) -> None:
    us = f"hopmail-{v0.name}"
    publish(v0, 3)
    publish(v0, 2, Lane.BULK)
    for exchange, key, name in (
        ("email.retry", "transactional.1s", "retried"),
        ("email.dead", "dead", "dead"),
    ):
        v0.publish_raw(b"{}", exchange=exchange, lane=key, url=v0.url, user_id=us, message_id=name)

    code, said = migrate(v0)

    assert code == 0, said
    assert "✓ email.transactional.v0 → email.transactional.v1: 3 messages moved\n" in said
    assert "✓ email.bulk → email.bulk.v1: 2 messages moved\n" in said
    assert "rabbitmqctl delete_queue email.bulk\n" in said
    assert {queue: v0.queue_depth(queue) for queue in V0} == dict.fromkeys(V0, 0)
    assert ids(v0.take_all(BULK)) == ["m-0", "m-1"]
    assert ids(v0.dead_letters(1)) == ["dead"]
    # The retry queue's delay brings it there.
    v0.wait_for_depth(TRANSACTIONAL, 4)
    assert ids(v0.take_all(TRANSACTIONAL)) == ["m-0", "m-1", "m-2", "retried"]


def test_afterwards_new_mail_goes_to_todays_queue_alone(v0: VirtualHost) -> None:
    migrate(v0)

    publish(v0, 1)

    assert v0.queue_depth(TRANSACTIONAL) == 1
    assert v0.queue_depth(OLD) == 0


def test_there_is_nothing_to_do_where_the_layout_is_todays(vhost: VirtualHost) -> None:
    assert migrate(vhost) == (0, "✓ no queue of an earlier layout is there\n")


def test_a_copy_has_the_properties_and_headers_of_the_message(v0: VirtualHost) -> None:
    headers = {
        "traceparent": "00-1",
        "of-the-app": [1, {"deep": None}],
        "x-published-at-ms": 1,
    }
    more: dict[str, Any] = {"priority": 3, "correlation_id": "c-1", "content_encoding": "utf-8"}
    publish(v0, 1, headers=headers, delivery_mode=1, **more)
    with v0.channel() as channel:
        method, before, body = channel.basic_get(OLD)
        channel.basic_nack(method.delivery_tag)

    migrate(v0)

    (after,) = v0.take_all(TRANSACTIONAL)
    assert after.body == body
    changed = {"headers", "user_id", "delivery_mode"}
    assert {
        name: value for name, value in vars(after.properties).items() if name not in changed
    } == {name: value for name, value in vars(before).items() if name not in changed}
    assert (after.properties.user_id, after.properties.delivery_mode) == (f"hopmail-{v0.name}", 2)
    assert after.headers["x-hopmail-login"] == f"webapp-{v0.name}"
    assert headers.items() <= after.headers.items()


def test_the_order_stays_and_more_than_a_window_is_moved(v0: VirtualHost) -> None:
    publish(v0, 500, Lane.BULK)

    code, said = migrate(v0, OLD_BULK)

    assert (code, said.count("500 messages moved")) == (0, 1)
    assert ids(v0.take_all(BULK)) == [f"m-{number}" for number in range(500)]


def test_a_queue_of_any_name_goes_where_it_is_told(v0: VirtualHost) -> None:
    with v0.channel() as channel:
        channel.queue_declare("mails", durable=True)
        channel.queue_bind("mails", "email", "bulk")
        channel.queue_unbind(OLD_BULK, "email", "bulk")
    publish(v0, 2, Lane.BULK)

    code, _said = migrate(v0, "mails", BULK)

    assert (code, ids(v0.take_all(BULK))) == (0, ["m-0", "m-1"])


def test_the_deploy_login_may_do_it(v0: VirtualHost) -> None:
    """RabbitMQ 4.3 lets a login that has no right to a queue not even know that it is not there."""
    publish(v0, 2)
    with least_privilege(v0) as urls:
        consumer = f"hopmail-{v0.name}"

        code, said = migrate(v0, amqp_url=urls["deploy"], operator_logins=consumer)

        assert code == 0, said
        assert "email.transactional.v1: 2 messages moved" in said
        code, said = migrate(v0, amqp_url=urls["publisher"])
        assert code == 1
        assert "use a login with the rights of `deploy`" in said


def test_a_dry_run_tells_and_changes_nothing(v0: VirtualHost) -> None:
    publish(v0, 3)

    code, said = migrate(v0, "--dry-run")

    assert code == 0
    assert "email.transactional.v0 → email.transactional.v1: 3 messages would be moved\n" in said
    assert v0.queue_depth(OLD) == 3
    assert not exists(v0, TRANSACTIONAL)


def test_for_scripts_it_tells_the_same_as_json(v0: VirtualHost) -> None:
    publish(v0, 3)

    code, said = migrate(v0, "email.transactional.v0", "--json")

    assert code == 0
    assert json.loads(said) == {
        "queues": [
            {
                "old": OLD,
                "new": TRANSACTIONAL,
                "waited": 3,
                "consumers": 0,
                "moved": 3,
                "dead_lettered": 0,
            }
        ]
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("email.bulk.v1", "email.bulk.v1"), "itself"),
        (("mails",), "say where mails is to be moved"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    vhost: VirtualHost, arguments: tuple[str, ...], words: str
) -> None:
    code, said = migrate(vhost, *arguments)

    assert code == 2
    assert words in said


def test_a_queue_that_is_not_there_is_named(vhost: VirtualHost) -> None:
    assert migrate(vhost, "email.bulk.v0") == (1, "✗ there is no queue email.bulk.v0\n")


def test_beside_consumers_nothing_is_changed_unless_told(v0: VirtualHost) -> None:
    publish(v0, 3)
    with v0.channel() as channel:
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(OLD, lambda *_message: None)

        code, said = migrate(v0)
        assert code == 1
        assert "consumers are on email.transactional.v0" in said
        assert "--while-consumed" in said
        assert not exists(v0, TRANSACTIONAL)

        # The one that it holds is the consumer's, who gives it back.
        code, said = migrate(v0, "--while-consumed")
        assert (code, "2 messages moved" in said) == (0, True), said
    v0.wait_for_depth(OLD, 1)
    assert migrate(v0)[0] == 0
    assert sorted(ids(v0.take_all(TRANSACTIONAL))) == ["m-0", "m-1", "m-2"]


@pytest.mark.parametrize("queue", [OLD, OLD_BULK])
def test_a_consumer_that_comes_just_then_ends_it(v0: VirtualHost, queue: str) -> None:
    """As where it comes after the look: the broker lets one of the two consume."""
    publish(v0, 3, V0[queue][1])
    with v0.channel() as channel:
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue, lambda *_message: None)
        ended = run("cli._refuse_consumed = lambda *_found: None", v0, queue)
        assert ended.returncode == 1
        assert "stop its consumers first" in ended.stderr
    v0.wait_for_depth(queue, 3)


def test_while_it_moves_no_consumer_can_come(v0: VirtualHost) -> None:
    each = detached(v0, OLD)
    v0.publish_raw(b"{}", exchange="", lane=OLD)
    refused: list[int] = []

    def come() -> None:
        with v0.channel() as channel:
            try:
                channel.basic_consume(OLD, lambda *_message: None)
            except pika.exceptions.ChannelClosedByBroker as refusal:
                refused.append(refusal.reply_code)

    assert move((v0.url,), each, Signing("", frozenset()), come) == Moved(messages=1)
    assert refused == [ACCESS_REFUSED]


@pytest.mark.parametrize("queue", [OLD, OLD_BULK])
def test_what_is_on_its_way_to_us_is_waited_for(
    v0: VirtualHost, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not counted as waiting any more: the queue looks empty."""
    each = detached(v0, queue)
    is_empty = migrate_module._Move._is_empty
    late = [b"{}"]

    def meanwhile(move: Any) -> bool:
        if late:
            v0.publish_raw(late.pop(), exchange="", lane=queue)
            v0.wait_for_depth(queue, 0)
        return is_empty(move)

    monkeypatch.setattr(migrate_module._Move, "_is_empty", meanwhile)

    assert move((v0.url,), each, Signing("", frozenset()), lambda: None) == Moved(messages=1)


def detached(v0: VirtualHost, queue: str) -> Pair:
    """Return the pair of an old queue, to which no new mail goes any more."""
    v0.declare_topology()
    each = pair(topology(LADDER), queue, None)
    unbind((v0.url,), (each,))
    return each


def test_rebound_only_old_consumers_empty_the_old_queue(v0: VirtualHost) -> None:
    publish(v0, 1)

    code, said = migrate(v0, "--rebind-only")
    publish(v0, 2)

    assert code == 0
    assert "1 message left; new mail goes to the new queue" in said
    assert (v0.queue_depth(OLD), v0.queue_depth(TRANSACTIONAL)) == (1, 2)


def test_a_stranger_signed_copy_stops_it_until_it_may_be_given_up(v0: VirtualHost) -> None:
    publish(v0, 1)
    publish(v0, 1, message_id="stranger", headers={"x-hopmail-attempt": 2})
    publish(v0, 1, message_id="last")

    code, said = migrate(v0, OLD)
    assert code == 1
    assert "message stranger: " in said
    assert "--give-up-untrusted" in said
    assert (v0.queue_depth(OLD), v0.queue_depth(TRANSACTIONAL)) == (2, 1)

    code, said = migrate(v0, OLD, "--give-up-untrusted")
    assert (code, "2 messages moved, 1 of them as dead letters" in said) == (0, True)
    (letter,) = v0.take_all(DEAD_QUEUE)
    assert letter.headers["x-hopmail-reason"] == "untrusted_headers"
    assert ids(v0.take_all(TRANSACTIONAL)) == ["m-0", "last"]


def test_headers_too_large_to_be_written_again_are_left_behind(v0: VirtualHost) -> None:
    publish(v0, 1, headers={"traceparent": "00-1", "large": "x" * 100_000})

    assert migrate(v0, OLD)[0] == 0

    (found,) = v0.take_all(TRANSACTIONAL)
    assert "large" not in found.headers
    assert found.headers["traceparent"] == "00-1"
    assert found.headers["x-hopmail-login"] == f"webapp-{v0.name}"


def test_a_queue_that_is_filled_as_fast_as_it_is_emptied_is_told(v0: VirtualHost) -> None:
    with v0.channel() as channel:
        channel.queue_bind(OLD, "email", "transactional", {"bound": "twice"})
    publish(v0, 1)

    code, said = migrate(v0, OLD)

    assert code == 1
    assert "more comes to email.transactional.v0 than there was" in said


def test_where_todays_queue_has_another_shape_nothing_is_changed(v0: VirtualHost) -> None:
    publish(v0, 3)
    with v0.channel() as channel:
        channel.queue_declare(TRANSACTIONAL, durable=True)

    code, said = migrate(v0, OLD)

    assert code == 78
    assert f"✗ {TRANSACTIONAL}: argument" in said
    # Nor does new mail go another way: it has none before today's queues are there.
    publish(v0, 1)
    assert v0.queue_depth(OLD) == 4


def test_what_the_new_queue_does_not_take_stays_in_the_old_one(v0: VirtualHost) -> None:
    migrate(v0, OLD)
    v0.set_policy("full", f"^{TRANSACTIONAL}$", {"max-length": 1})
    with v0.channel() as channel:
        channel.queue_bind(OLD, "email", "old")
    for number in range(4):
        v0.publish_raw(b"{}", lane="old", message_id=f"m-{number}")
    for _filler in range(5):
        # A quorum queue takes a few more than its limit.
        with suppress(pika.exceptions.NackError):
            v0.publish_raw(b"{}")

    ended = run("migrate.CONFIRM_SECONDS = 1.0", v0, OLD)

    assert ended.returncode == 1
    assert "the queue is full; it is still in the old queue, run this again" in ended.stderr
    v0.wait_for_depth(OLD, 4)


DIES = """
import os, signal
from concurrent.futures import wait
from consumer.amqp import migrate
ack, calls = migrate._Move._ack, 0

def dying(move, **how):
    global calls
    calls += 1
    if calls == {at}:
        if {confirmed}:
            # In the new queue, and not yet acked in the old one.
            wait([confirm for _tag, confirm in move._under_way])
        os.kill(os.getpid(), signal.SIGKILL)
    ack(move, **how)

migrate._Move._ack = dying
from consumer.__main__ import main
main()
"""


def die_migrating(vhost: VirtualHost, at: int, *, confirmed: bool) -> None:
    """Migrate in a process that is killed before acks, or before the confirms of these."""
    ended = subprocess.run(
        [sys.executable, "-c", DIES.format(at=at, confirmed=confirmed), "topology", "migrate", OLD],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=NOWHERE, retry_delays="1s,2s"),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def test_killed_again_and_again_it_loses_nothing_and_each_is_sent_once(
    v0: VirtualHost, tmp_path: Path
) -> None:
    count = 300
    publish(v0, count)

    for at, confirmed in ((1, False), (20, True), (90, False), (40, True)):
        die_migrating(v0, at, confirmed=confirmed)
        # The broker has noticed.
        wait_until(lambda: v0.consumers_of(OLD) == 0, what="the end of its connection")
    code, said = migrate(v0, OLD)
    assert code == 0, said

    with v0.channel() as channel:
        doubled = channel.queue_declare(TRANSACTIONAL, passive=True).method.message_count - count
    assert doubled > 0, "no kill left a message in both queues"
    once = Counter(f"m-{number}" for number in range(count))
    with (
        smtp_sink(tmp_path) as sink,
        consuming(v0.url, sink.url, worker=0) as one,
        consuming(v0.url, sink.url, worker=1) as two,
    ):
        wait_until(
            lambda: len(one.events("handled") + two.events("handled")) == count + doubled,
            60,
            "all of them",
        )
        assert sink.message_ids() == once
        outcomes = Counter(
            line["outcome"] for line in one.events("handled") + two.events("handled")
        )
    assert outcomes == {"accepted": count, "duplicate": doubled}
    assert v0.take_all(OLD) == []


def test_killed_at_any_moment_and_run_again_it_has_each_sent_once(
    v0: VirtualHost, tmp_path: Path
) -> None:
    """While an app publishes and consumers of today's queue send."""
    count = 400
    publish(v0, count)
    command = [sys.executable, "-m", "consumer", "topology", "migrate", OLD]
    settings = environment(amqp_url=v0.url, smtp_url=NOWHERE, retry_delays="1s,2s")
    with smtp_sink(tmp_path) as sink:
        process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.DEVNULL)
        wait_until(lambda: exists(v0, TRANSACTIONAL) or process.poll() is not None, 30)
        with consuming(v0.url, sink.url):
            wait_until(lambda: sink.count() > 0, 30, "the first of them")
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            publish(v0, 3, message_id="new")
            assert migrate(v0, OLD)[0] == 0
            once = Counter([*(f"m-{number}" for number in range(count)), "new"])
            wait_until(lambda: sink.message_ids() == once, 60, "all of them")
            wait_until(lambda: v0.unsettled(TRANSACTIONAL) == 0, 60, "no more of them")
            assert sink.message_ids() == once
    assert v0.queue_depth(OLD) == 0
