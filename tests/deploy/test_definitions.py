"""The broker of docker-compose.yml: made of definitions, where a login may do its work only."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pika
import pytest
from pika import exceptions

from consumer.amqp import declare
from consumer.core.permissions import ROLES, User
from consumer.core.topology import DEAD_QUEUE, lane_queue, topology
from consumer.settings.read import read_ladder
from dev.broker import START_SECONDS, Node
from dev.definitions import FILE, LADDER, page
from publisher_lib import Publisher
from publisher_lib.broker_url import CONNECT_ERRORS
from publisher_lib.routing import EXCHANGE, Lane
from tests.cli.command import hopmail
from tests.support.consumer_process import consuming, wait_until
from tests.support.smtp_script import hang_up
from tests.support.smtp_server import smtp_server

START = FILE.with_name("start.sh")
PASSWORDS = {
    "PUBLISHER_PASSWORD": "publishersecret1",
    "CONSUMER_PASSWORD": "consumersecret2",
    "OPERATOR_PASSWORD": "operatorsecret3",
    "DEPLOY_PASSWORD": "deploysecret4",
}
# /run is the container's own there.
IN_CONTAINER = 'mount --bind "$1" /run && shift && exec "$@"'
SERVER = '#!/bin/sh\nenv >"$(dirname "$0")/environment"\n'


def start(folder: Path, passwords: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run start.sh as in the container; in RabbitMQ's place is a script that keeps what it is told.

    /run is `folder`.
    """
    (folder / "hopmail").mkdir(exist_ok=True)
    server = folder / "rabbitmq-server"
    server.write_text(SERVER)
    server.chmod(0o755)
    return subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private"),
            *("sh", "-c", IN_CONTAINER, "sh", folder, "sh", START),
        ],
        env={"PATH": f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin", **passwords},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_file_is_what_the_topology_says() -> None:
    assert FILE.read_text() == page(), "run `python -m dev.definitions`"


def test_the_rights_are_those_that_the_command_prints() -> None:
    wanted = [User(role.name, role).permission("/") for role in ROLES]

    assert json.loads(FILE.read_text())["permissions"] == wanted


def test_the_passwords_are_put_in_for_the_broker_alone(tmp_path: Path) -> None:
    started = start(tmp_path, PASSWORDS)

    assert started.returncode == 0, started.stderr
    made = tmp_path / "hopmail" / "definitions.json"
    assert made.stat().st_mode & 0o077 == 0
    users = {user["name"]: user["password"] for user in json.loads(made.read_text())["users"]}
    assert users == {
        name.removesuffix("_PASSWORD").lower(): value for name, value in PASSWORDS.items()
    }
    assert "secret" not in (tmp_path / "environment").read_text()


@pytest.mark.parametrize("wrong", ["", "with/slash", 'with"quote', "two\nlines"])
def test_a_password_that_would_break_a_url_is_refused_and_not_shown(
    wrong: str, tmp_path: Path
) -> None:
    started = start(tmp_path, PASSWORDS | {"CONSUMER_PASSWORD": wrong})

    assert started.returncode == 78
    assert started.stderr == "CONSUMER_PASSWORD must be given, of letters and digits only\n"
    assert not (tmp_path / "environment").exists()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Run a broker with rabbitmq.conf and the plugins of compose, which loads the definitions."""
    folder = tmp_path_factory.mktemp("run")
    started = start(folder, PASSWORDS)
    assert started.returncode == 0, started.stderr
    made = folder / "hopmail" / "definitions.json"
    node = Node(management=True, prometheus=True)
    # Where the package's account can read it.
    (node.folder / "definitions.json").write_text(made.read_text())
    (node.folder / "plugins").write_text(FILE.with_name("enabled_plugins").read_text())
    with (node.folder / "rabbitmq.conf").open("a") as conf:
        told = FILE.with_name("rabbitmq.conf").read_text()
        conf.write(told.replace("/run/hopmail", str(node.folder)))
    try:
        node.start()
        wait_until(lambda: can_log_in(url(node, "consumer")), START_SECONDS, "the broker")
        yield node
    finally:
        node.stop()


def url(node: Node, login: str) -> str:
    password = PASSWORDS[f"{login.upper()}_PASSWORD"]
    return f"amqp://{login}:{password}@{node.address}:{node.port}/%2F"


def can_log_in(amqp_url: str) -> bool:
    with suppress(*CONNECT_ERRORS):
        pika.BlockingConnection(pika.URLParameters(amqp_url)).close()
        return True
    time.sleep(0.2)
    return False


def may(amqp_url: str, act: Any) -> bool:
    """Return whether a login may do something on a channel of its own."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    try:
        act(connection.channel())
    except exceptions.ChannelClosedByBroker as refusal:
        if refusal.reply_code != declare.ACCESS_REFUSED:
            raise
        return False
    finally:
        connection.close()
    return True


def test_the_default_login_is_not_made(node: Node) -> None:
    assert not can_log_in(node.url)


def test_all_is_as_the_consumer_needs_it_bindings_too(node: Node) -> None:
    assert declare.check((url(node, "consumer"),), topology(LADDER)) == ()


@pytest.mark.parametrize(
    ("login", "allowed"),
    [
        ("publisher", {"publish"}),
        ("consumer", {"publish", "read lane"}),
        ("operator", {"publish", "read dead"}),
    ],
)
def test_a_login_may_do_its_work_and_no_more(node: Node, login: str, allowed: set[str]) -> None:
    acts: dict[str, Any] = {
        "read lane": lambda channel: channel.basic_get(lane_queue(Lane.BULK)),
        "read dead": lambda channel: channel.basic_get(DEAD_QUEUE),
        "declare": lambda channel: channel.queue_declare("email.mine"),
        "delete": lambda channel: channel.queue_delete(DEAD_QUEUE),
        "purge retry": lambda channel: channel.queue_purge("email.bulk.retry.30s.v1"),
    }

    def publish(channel: Any) -> None:
        channel.confirm_delivery()
        # It reaches no queue: whether it may is all that is asked.
        channel.basic_publish(EXCHANGE, "nowhere", b"")

    found = {
        name for name, act in (acts | {"publish": publish}).items() if may(url(node, login), act)
    }
    assert found == allowed


def test_the_deploy_login_makes_the_queues_of_other_delays(node: Node) -> None:
    wanted = topology(read_ladder("5s,7m"))

    assert {each.problem for each in declare.check((url(node, "consumer"),), wanted)} == {
        declare.MISSING
    }
    declare.apply((url(node, "deploy"),), wanted)

    assert declare.check((url(node, "consumer"),), wanted) == ()
    assert declare.check((url(node, "deploy"),), wanted) == ()


def test_mail_goes_its_way_and_back_under_these_logins(node: Node, tmp_path: Path) -> None:
    settings = {"state_dir": tmp_path / "state", "retry_delays": "30s,2m,10m,30m,1h,2h,4h"}
    with (
        Publisher(url(node, "publisher")) as publisher,
        smtp_server({"END_OF_DATA": [hang_up()]}) as relay,
        consuming(
            url(node, "consumer"), relay.url, operator_logins="operator", **settings
        ) as worker,
    ):
        publisher.send(
            to="ada@example.org",
            from_="app@example.org",
            subject="Hello",
            text="Hello",
            message_id="m-1",
            if_uncertain="hold",
        )
        wait_until(lambda: worker.handled("m-1"), what="the mail's handling")
        assert worker.handled("m-1")[0]["disposition"] == "dead_letter"

        resolved = hopmail(
            *("deadletters", "resolve", "m-1", "--resend"),
            amqp_url=url(node, "operator"),
            smtp_url=relay.url,
            operator_logins="consumer",
            **settings,
        )

        assert resolved.returncode == 0, resolved.stderr
        wait_until(lambda: len(worker.handled("m-1")) == 2, what="its second handling")
        assert worker.handled("m-1")[1]["disposition"] == "ack"
