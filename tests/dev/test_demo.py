import json
import re
import signal
from pathlib import Path

import pytest

from consumer.core.topology import DEAD_KEY, DEAD_QUEUE
from dev.processes import stop
from publisher_lib.routing import DEAD_EXCHANGE
from tests.dev.family import descendants, living
from tests.dev.script import output, start
from tests.support.broker import VirtualHost
from tests.support.consumer_process import wait_until


@pytest.mark.timeout(120)
def test_the_demo_tells_every_fate_and_takes_no_dead_letter(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    vhost.declare_topology()
    vhost.publish_raw(b"{}", exchange=DEAD_EXCHANGE, lane=DEAD_KEY, message_id="foreign")

    code = start("demo", tmp_path, vhost.url).wait(90)

    assert code == 0, output(tmp_path)
    files = sorted((tmp_path / ".state/demo/dead-letters").iterdir())
    kept = [json.loads(path.read_text()) for path in files]
    assert [letter["reason"] for letter in kept] == ["invalid", "refused"]
    assert {letter["message_id"] for letter in kept} | {"foreign"} == {
        message.properties.message_id for message in vhost.take_all(DEAD_QUEUE)
    }
    assert len(list((tmp_path / ".state/demo/Maildir/new").iterdir())) == 4


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("script", "moment"),
    [("demo", "starting 2"), ("playground", "starting 2"), ("playground", "Ctrl-C")],
)
def test_a_signal_leaves_nothing_running_and_is_answered(
    vhost: VirtualHost, tmp_path: Path, number: signal.Signals, script: str, moment: str
) -> None:
    process = start(script, tmp_path, vhost.url)
    try:
        wait_until(lambda: moment in output(tmp_path), 60, moment)
        wait_until(lambda: descendants(process.pid), 10, "a child")
        started = descendants(process.pid)
        process.send_signal(number)
        code = process.wait(60)
    finally:
        stop(process, 60)

    wait_until(lambda: not started & living().keys(), 5, "an end of every process")
    told = output(tmp_path)
    assert "Traceback" not in told
    if moment == "Ctrl-C":
        assert code == 0
        assert re.search(r"\n▸ stopping all of it … [\d.]+ s\n$", told)
    else:
        assert code == 128 + number
        assert told.endswith("✗ interrupted; nothing keeps running\n")


@pytest.mark.timeout(120)
def test_the_demo_fails_where_a_fate_is_not_the_expected_one(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    """A foreign consumer of the dead-letter queue takes what the demo looks for."""
    vhost.declare_topology()
    process = start("demo", tmp_path, vhost.url)
    try:
        with vhost.channel() as channel:
            channel.basic_consume(DEAD_QUEUE, lambda *_: None, auto_ack=True)
            while process.poll() is None:
                channel.connection.process_data_events(0.2)
    finally:
        stop(process, 60)

    assert process.returncode == 1
    assert "expected dead letter after 1" in output(tmp_path)


@pytest.mark.timeout(60)
def test_the_demo_says_so_when_there_is_no_broker(tmp_path: Path) -> None:
    code = start("demo", tmp_path, "amqp://guest:guest@127.0.0.1:1").wait(50)

    assert code == 1
    assert "✗ 127.0.0.1:1: [Errno 111] Connection refused" in output(tmp_path)
