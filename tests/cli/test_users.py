"""`hopmail topology users`: what it prints is what a broker can be told."""

import base64
import hashlib

import pytest
from typer.testing import CliRunner

from consumer.cli.app import app
from consumer.core.permissions import CONSUMER_WITH_RETENTION, ROLES
from tests.cli.command import hopmail
from tests.support.roles import definitions


def test_each_login_is_a_pair_of_commands() -> None:
    ended = hopmail("topology", "users", "--app", "shop", "--app", "blog", "--vhost", "/a b")

    lines = [line for line in ended.stdout.splitlines() if line[:1] not in {"", "#"}]
    logins = ["shop", "blog", "hopmail-consumer", "hopmail-operator", "hopmail-deploy"]
    assert ended.returncode == 0
    assert lines[::2] == [f"rabbitmqctl add_user {login}" for login in logins]
    assert lines[1] == "rabbitmqctl set_permissions --vhost '/a b' shop '^$' '^email$' '^$'"
    for role in ROLES:
        assert f"# {role.meaning}" in ended.stdout.splitlines()


def test_with_retention_the_consumer_may_read_dead_letters_too() -> None:
    options: tuple[list[str], ...] = ([], ["--retention"])
    printed = [CliRunner().invoke(app, ["topology", "users", *each]).stdout for each in options]

    before, after = (set(each.splitlines()) for each in printed)
    assert len(before - after) == len(after - before) == 2
    (rights,) = (line for line in after - before if line.startswith("rabbitmqctl"))
    assert "hopmail-consumer '^$' " in rights
    assert rights.endswith(f" '{CONSUMER_WITH_RETENTION.read}'")


def test_definitions_hold_salted_hashes_and_no_password() -> None:
    passwords = ["first", "second", "third", "fourth"]

    found = definitions("mail", "shop", "mailer", passwords)

    assert [user["name"] for user in found["users"]] == [
        *("shop", "mailer-consumer", "mailer-operator", "mailer-deploy")
    ]
    assert {each["vhost"] for each in found["permissions"]} == {"mail"}
    assert not any(user["tags"] for user in found["users"])
    for user, password in zip(found["users"], passwords, strict=True):
        octets = base64.b64decode(user["password_hash"])
        assert octets[4:] == hashlib.sha256(octets[:4] + password.encode()).digest()
    assert not any(password in str(found) for password in passwords)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--app", "a b"), "a login is made of letters"),
        (("--app", "$(id)"), "a login is made of letters"),
        (("--prefix", "-x"), "a login is made of letters"),
        (("--app", "hopmail-deploy"), "must differ"),
        (("--definitions",), "no password for webapp"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], said: str) -> None:
    ended = CliRunner().invoke(app, ["topology", "users", *arguments], env={"COLUMNS": "200"})

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert said in ended.stderr
