from pathlib import Path

import pytest

from consumer.core.durations import parse_duration
from dev.given_broker import NotForPlay, make_sure_it_is_idle
from publisher_lib.routing import RETRY_EXCHANGE
from tests.dev.script import output, start
from tests.support.broker import PASSWORD, VirtualHost

LANE = "email.transactional.v1"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("script", ["demo", "playground"])
def test_mail_that_waits_there_is_left_alone(
    vhost: VirtualHost, tmp_path: Path, script: str
) -> None:
    vhost.declare_topology()
    vhost.publish_raw(b"{}", message_id="a customer's")
    earlier = tmp_path / ".state" / ("demo" if script == "demo" else "run") / "Maildir/new/1"
    earlier.parent.mkdir(parents=True)
    earlier.touch()

    code = start(script, tmp_path, vhost.url).wait(50)

    assert code == 1
    (_, line) = output(tmp_path).splitlines()
    assert line == (
        f"✗ {LANE} holds 1 message: "
        "give HOPMAIL_AMQP_URL of an empty virtual host, or unset it for a private node"
    )
    (message,) = vhost.take_all(LANE)
    assert message.properties.message_id == "a customer's"
    assert message.headers.get("x-delivery-count", 0) == 0
    assert earlier.exists()


@pytest.mark.parametrize(("ladder", "setting"), [("5h", ""), ("30s", ""), ("7h", "6h,7h")], ids=str)
def test_so_is_mail_that_waits_for_a_retry(
    vhost: VirtualHost, monkeypatch: pytest.MonkeyPatch, ladder: str, setting: str
) -> None:
    """Of the ladder of the caller, of the default one, and of the setting."""
    monkeypatch.setenv("HOPMAIL_RETRY_DELAYS", setting)
    vhost.declare_topology((parse_duration(ladder),))
    vhost.publish_raw(b"{}", exchange=RETRY_EXCHANGE, lane=f"bulk.{ladder}")

    with pytest.raises(NotForPlay, match=rf"email\.bulk\.retry\.{ladder}\.v1 holds 1 message:"):
        make_sure_it_is_idle(vhost.url, "1s,5h")


def test_a_consumer_there_would_take_our_mail(vhost: VirtualHost) -> None:
    vhost.declare_topology()

    with vhost.channel() as channel:
        channel.basic_consume(LANE, lambda *_: None)
        with pytest.raises(NotForPlay, match=f"{LANE} has 1 consumer: give"):
            make_sure_it_is_idle(vhost.url)


def test_a_broker_without_our_queues_is_fine_and_so_are_idle_ones(vhost: VirtualHost) -> None:
    make_sure_it_is_idle(vhost.url)
    vhost.declare_topology()
    make_sure_it_is_idle(vhost.url)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("script", ["demo", "playground"])
@pytest.mark.parametrize("url", ["x", f"http://hopmail:{PASSWORD}@localhost/"])
def test_what_is_no_url_is_said_in_a_line(tmp_path: Path, script: str, url: str) -> None:
    code = start(script, tmp_path, url).wait(50)

    assert code == 1
    (_, line) = output(tmp_path).splitlines()
    assert line.startswith("✗ HOPMAIL_AMQP_URL: a broker URL is amqp://")
    assert PASSWORD not in line
