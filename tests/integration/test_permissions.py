"""Each login may do what its role needs, on the real broker, and is refused all the rest."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pika
import pytest
from pika import exceptions

from consumer.amqp import declare
from consumer.core.disposition import Reason
from consumer.core.topology import DEAD_QUEUE, lane_queue, topology
from publisher_lib import Lane, Publisher, Rejected
from tests.cli.command import hopmail, one_after_the_other
from tests.support.broker import LADDER, PASSWORD, VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.dead_letters import bury, dead_letter
from tests.support.roles import NAMES, least_privilege
from tests.support.smtp_script import Rule, hang_up, say
from tests.support.smtp_server import smtp_server

TRANSACTIONAL: Final = lane_queue(Lane.TRANSACTIONAL)
RETRY: Final = "email.transactional.retry.1s.v1"
LANES: Final = tuple(map(lane_queue, Lane))
OURS: Final = (*LANES, RETRY, DEAD_QUEUE)
QUEUES: Final = (*OURS, "other")
EXCHANGES: Final = {
    "email": "transactional",
    "email.retry": "transactional.1s",
    "email.dead": "dead",
    "": DEAD_QUEUE,
    "amq.direct": "x",
    "amq.topic": "x",
    "other": "x",
}
OUR_EXCHANGES: Final = ("email", "email.retry", "email.dead")
RIGHT: Final = {queue.name: dict(queue.arguments) for queue in topology(LADDER).queues}
REFUSED: Final = 403
WRONG_NAME: Final = 406
ALLOWED: Final = 0
GROWING: Final = Path(__file__).parents[2] / "docs" / "growing.md"
NOWHERE: Final = "smtp://127.0.0.1:9?tls=none"

Attempt = Callable[[Any], object]


def attempts() -> dict[str, Attempt]:
    """Return all that a login may try, what destroys something last."""
    return {
        **{
            f"publish to {x or 'amq.default'}": partial(publish, x, EXCHANGES[x]) for x in EXCHANGES
        },
        "publish as another": partial(publish, "email", "transactional", user_id="somebody"),
        **{f"look for {x}": partial(find_exchange, x) for x in EXCHANGES if x},
        **{f"look for {queue}": partial(find_queue, queue) for queue in QUEUES},
        **{f"get from {queue}": partial(get, queue) for queue in QUEUES},
        **{f"consume {queue}": partial(consume, queue) for queue in QUEUES},
        **{f"purge {queue}": partial(purge, queue) for queue in QUEUES},
        **{f"declare {queue}": partial(declare_queue, queue, RIGHT[queue]) for queue in OURS},
        **{
            f"declare {queue}": partial(declare_queue, queue, {}) for queue in ("email.new.v2", "x")
        },
        "declare a queue the broker names": partial(declare_queue, "", {}),
        **{f"declare exchange {x}": partial(declare_exchange, x) for x in (*OUR_EXCHANGES, "x")},
        "bind a lane to email": partial(bind, TRANSACTIONAL, "email", "transactional"),
        "bind a lane to other": partial(bind, TRANSACTIONAL, "other", "x"),
        "bind other to email": partial(bind, "other", "email", "transactional"),
        "bind exchange other to email.dead": bind_exchange,
        "unbind a lane": unbind,
        "unbind exchange other from email.dead": unbind_exchange,
        **{f"delete {queue}": partial(delete_queue, queue) for queue in QUEUES},
        **{f"delete exchange {x}": partial(delete_exchange, x) for x in (*OUR_EXCHANGES, "other")},
    }


def ignore(*_arguments: object) -> None:
    """Take a delivery and do nothing with it."""


def publish(exchange: str, key: str, channel: Any, **properties: str) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"{}", pika.BasicProperties(**properties))


def find_exchange(name: str, channel: Any) -> None:
    channel.exchange_declare(name, passive=True)


def find_queue(name: str, channel: Any) -> None:
    channel.queue_declare(name, passive=True)


def get(queue: str, channel: Any) -> None:
    channel.basic_get(queue)


def consume(queue: str, channel: Any) -> None:
    channel.basic_consume(queue, ignore)


def purge(queue: str, channel: Any) -> None:
    channel.queue_purge(queue)


def declare_queue(name: str, arguments: dict[str, str | int], channel: Any) -> None:
    channel.queue_declare(name, durable=bool(arguments), arguments=arguments, exclusive=not name)


def declare_exchange(name: str, channel: Any) -> None:
    channel.exchange_declare(name, exchange_type="direct", durable=True)


def bind(queue: str, exchange: str, key: str, channel: Any) -> None:
    channel.queue_bind(queue, exchange, key)


def bind_exchange(channel: Any) -> None:
    channel.exchange_bind("other", "email.dead", "dead")


def unbind(channel: Any) -> None:
    channel.queue_unbind(TRANSACTIONAL, "email", "transactional")


def unbind_exchange(channel: Any) -> None:
    channel.exchange_unbind("other", "email.dead", "dead")


def delete_queue(name: str, channel: Any) -> None:
    channel.queue_delete(name)


def delete_exchange(name: str, channel: Any) -> None:
    channel.exchange_delete(name)


SEEN_BY: Final = {
    "publisher": ("email",),
    "consumer": (*OUR_EXCHANGES, *OURS),
    "operator": ("email", "email.dead", *OURS),
    "deploy": (*OUR_EXCHANGES, *OURS),
}
"""What a login has any right to, and may look for with every RabbitMQ."""

LOOK_NEEDS_A_RIGHT: Final = (4, 2, 6)
READS: Final = ("get from", "consume", "purge")

MAY: Final[dict[str, frozenset[str]]] = {
    "publisher": frozenset({"publish to email"}),
    "consumer": frozenset(
        {
            *("publish to email", "publish to email.retry", "publish to email.dead"),
            *(f"{what} {lane}" for what in READS for lane in LANES),
        }
    ),
    "operator": frozenset(
        {
            *("publish to email", "publish to email.dead"),
            *(f"{what} {DEAD_QUEUE}" for what in READS),
        }
    ),
    "deploy": frozenset(
        {
            *("publish to email", "publish to email.retry", "publish to email.dead"),
            *(f"{what} {queue}" for what in (*READS, "declare", "delete") for queue in OURS),
            *(
                f"{what} exchange {exchange}"
                for what in ("declare", "delete")
                for exchange in OUR_EXCHANGES
            ),
            *("declare email.new.v2", "bind a lane to email", "unbind a lane"),
        }
    ),
}
"""Beside looking."""


def looks(vhost: VirtualHost, role: str) -> frozenset[str]:
    """Return for what a login may look with this RabbitMQ."""
    told = vhost.broker.request("GET", "overview")["rabbitmq_version"]
    version = tuple(map(int, re.findall(r"[0-9]+", told)[:3]))
    all_there_is = (*QUEUES, *filter(None, EXCHANGES))
    names = SEEN_BY[role] if version >= LOOK_NEEDS_A_RIGHT else all_there_is
    return frozenset(f"look for {name}" for name in names)


def answer(connection: Any, attempt: Attempt) -> int:
    """Return the code with which the broker refuses an attempt; 0 where it does not."""
    channel = connection.channel()
    try:
        attempt(channel)
    except exceptions.ChannelClosedByBroker as refusal:
        return int(refusal.reply_code)
    channel.close()
    return ALLOWED


@contextmanager
def connected(url: str) -> Iterator[Any]:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection
    finally:
        connection.close()


def make_others(vhost: VirtualHost) -> None:
    """Make all there is to be, and what is of somebody else."""
    vhost.declare_topology()
    with vhost.channel() as channel:
        channel.exchange_declare("other", exchange_type="direct", durable=True)
        channel.queue_declare("other", durable=True)


@pytest.fixture
def roles(vhost: VirtualHost) -> Iterator[Mapping[str, str]]:
    """Return the URL of each role's login."""
    with least_privilege(vhost) as urls:
        yield urls


@pytest.mark.parametrize("role", NAMES)
def test_a_role_may_do_what_it_needs_and_nothing_else(
    vhost: VirtualHost, roles: Mapping[str, str], role: str
) -> None:
    make_others(vhost)
    found: dict[str, int] = {}

    with connected(roles[role]) as connection:
        for name, attempt in attempts().items():
            found[name] = answer(connection, attempt)
            if found[name] == ALLOWED and name.startswith(("delete", "unbind")):
                make_others(vhost)

    allowed = MAY[role] | looks(vhost, role)
    wanted = {name: ALLOWED if name in allowed else REFUSED for name in found}
    assert found == wanted | {"publish as another": WRONG_NAME}
    assert allowed <= found.keys()


@pytest.mark.parametrize("role", NAMES)
def test_no_role_may_use_the_management_api_or_another_virtual_host(
    vhost: VirtualHost, roles: Mapping[str, str], role: str
) -> None:
    assert not vhost.broker.may_manage(login_of(roles[role]))
    with (
        pytest.raises(exceptions.ProbableAccessDeniedError),
        connected(vhost.broker.url("/", login_of(roles[role]), PASSWORD)),
    ):
        pass


EMAIL: Final = {
    "email_to": "ada@example.org",
    "email_from": "app@example.org",
    "subject": "Hello",
    "message": {"text": "Hello"},
    "if_uncertain": "hold",
}


def test_the_whole_service_runs_with_these_rights(
    vhost: VirtualHost, roles: Mapping[str, str]
) -> None:
    def run(role: str, *arguments: str, smtp_url: str = NOWHERE) -> tuple[int, list[str]]:
        ended = hopmail(
            *arguments,
            amqp_url=roles[role],
            smtp_url=smtp_url,
            retry_delays="1s,2s",
            operator_logins=trusted,
        )
        return ended.returncode, (ended.stdout + ended.stderr).splitlines()

    trusted = ",".join(login_of(roles[role]) for role in ("consumer", "operator"))
    assert run("consumer", "topology", "apply")[0] == 78, "it makes nothing"
    assert run("deploy", "topology", "apply") == (0, ["✓ 3 exchanges and 7 queues stand"])
    assert run("deploy", "topology", "check") == (0, ["✓ 3 exchanges and 7 queues are right"])
    rules: dict[str, Rule] = {"MAIL": [say("451 4.7.1 later")], "END_OF_DATA": hang_up()}
    with (
        smtp_server(rules) as relay,
        consuming(roles["consumer"], relay.url, operator_logins=trusted),
        Publisher(roles["publisher"]) as app,
    ):
        app.publish(EMAIL, message_id="m-1")
        vhost.wait_for_depth(DEAD_QUEUE, 1)
    with (
        smtp_server() as relay,
        consuming(roles["consumer"], relay.url, operator_logins=trusted) as process,
    ):
        code, said = run("consumer", "check", smtp_url=relay.url)
        assert code == 0, said
        assert said[2] == f"✓ topology: every exchange and queue is there; {declare.UNSEEN}"
        wait_until(lambda: run("operator", "status")[0] == 0, 30, "mail flows")
        assert run("operator", "deadletters", "resolve", "m-1", "--resend") == (
            0,
            ["✓ m-1: given back to be sent to 1 recipient"],
        )
        wait_until(lambda: process.handled("m-1"), what="the mail")
        assert [line["outcome"] for line in process.handled("m-1")] == ["accepted"]
        assert len(relay.mails) == 1
    assert vhost.queue_depth(DEAD_QUEUE) == 0


def test_an_operator_does_all_there_is_to_do_with_dead_letters(
    vhost: VirtualHost, roles: Mapping[str, str], tmp_path: Path
) -> None:
    vhost.declare_topology()
    letters = [dead_letter(f"m-{number}") for number in range(3)]
    held = dead_letter("held", Reason.IN_DOUBT)
    bury(vhost, *letters, held, signer=login_of(roles["consumer"]))
    file = str(tmp_path / "dead.jsonl")

    ended = one_after_the_other(
        [
            ("status",),
            ("lookup", "m-0"),
            *(("deadletters", *words) for words in done_with_dead_letters(file)),
        ],
        amqp_url=roles["operator"],
        smtp_url=NOWHERE,
        retry_delays="1s,2s",
        operator_logins=login_of(roles["consumer"]),
        state_dir=tmp_path,
    )

    assert re.search(rf"^{re.escape(DEAD_QUEUE)} +4 ", ended[0][1], re.MULTILINE), "it sees all"
    assert [text for code, text in ended[1:] if code] == []
    assert vhost.queue_depth(TRANSACTIONAL) == 3
    assert vhost.queue_depth(DEAD_QUEUE) == 4


def done_with_dead_letters(file: str) -> tuple[tuple[str, ...], ...]:
    return (
        ("list",),
        ("show", "m-0"),
        ("export", file),
        ("replay", "m-0", "--yes"),
        ("edit", "m-1", "--set", "subject=Mended", "--yes"),
        ("resolve", "held", "--resend"),
        ("purge", "--all", "--yes"),
        ("import", file),
    )


def test_the_library_says_that_a_right_is_missing(
    vhost: VirtualHost, roles: Mapping[str, str]
) -> None:
    vhost.declare_topology()
    vhost.broker.request("DELETE", f"permissions/{vhost.name}/{login_of(roles['publisher'])}")
    vhost.broker.request(
        "PUT",
        f"permissions/{vhost.name}/{login_of(roles['publisher'])}",
        {"configure": "^$", "write": "^$", "read": "^$"},
    )

    with (
        Publisher(roles["publisher"], timeout=timedelta(seconds=5)) as app,
        pytest.raises(Rejected, match="access to exchange 'email'"),
    ):
        app.publish(EMAIL)


def test_a_consumer_that_may_not_declare_asks_once_for_each_kind(
    vhost: VirtualHost, roles: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each refusal is an error in the broker's log, at each connection of each worker."""
    vhost.declare_topology()
    asked: list[str] = []

    class Counting(declare._Attempts):
        def __call__(self, what: Any, step: Any) -> Any:
            asked.append(step.__name__)
            return super().__call__(what, step)

    monkeypatch.setattr(declare, "_Attempts", Counting)
    declare.apply((roles["consumer"],), topology(LADDER))

    declared = [name for name in asked if not name.startswith("_find")]
    assert sorted(declared) == ["_bind", "_declare_exchange", "_declare_queue"]


def test_who_only_scales_sees_how_long_the_lanes_are(vhost: VirtualHost) -> None:
    make_others(vhost)
    rights = re.search(r"set_permissions keda '(.*)' '(.*)' '(.*)'", GROWING.read_text())
    assert rights
    login = f"keda-{vhost.name}"
    vhost.broker.add_user(login, vhost.name, *rights.groups())

    try:
        with connected(vhost.url_for(login)) as connection:
            found = {
                name
                for name, attempt in attempts().items()
                if answer(connection, attempt) == ALLOWED
            }
    finally:
        vhost.broker.request("DELETE", f"users/{login}")
    assert {f"look for {lane}" for lane in LANES} <= found
    assert all(name.startswith("look for ") for name in found)


def login_of(url: str) -> str:
    return urlsplit(url).username or ""
