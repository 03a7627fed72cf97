"""The sender policy: whom it lets send as whom."""

import pytest

from consumer.core.outcome import Breach
from consumer.core.sender_policy import SenderPolicy
from publisher_lib.mailbox import parse_mailbox

POLICY = SenderPolicy.of(
    {
        "shop": [
            *("@shop.example", "No-Reply@Example.org", "@bücher.example"),
            *("market@example.org", "news@example.org", "strasse@example.org", "@straße.example"),
        ],
        "admin": ["*"],
        "retired": [],
    }
)


def breach(login: str | None, sender: str, policy: SenderPolicy = POLICY) -> Breach | None:
    found = policy.breach(login, parse_mailbox(sender))
    return None if found is None else found.breach


@pytest.mark.parametrize(
    ("login", "sender"),
    [
        ("shop", "anybody@shop.example"),
        ("shop", "The Shop <anybody@SHOP.example>"),
        ("shop", "no-reply@example.org"),
        ("shop", "NO-REPLY@EXAMPLE.ORG"),
        ("shop", "a@bücher.example"),
        ("shop", "a@xn--bcher-kva.example"),
        ("shop", "a@xn--strae-oqa.example"),
        ("shop", "anybody@shop\u3002example"),
        ("shop", "ceo@bank.example <no-reply@example.org>"),
        ("admin", "anybody@anywhere.example"),
    ],
)
def test_a_login_may_use_its_own_senders(login: str, sender: str) -> None:
    assert breach(login, sender) is None


@pytest.mark.parametrize(
    ("login", "sender"),
    [
        ("shop", "anybody@example.org"),
        ("shop", "no-reply@sub.example.org"),
        ("shop", "anybody@sub.shop.example"),
        ("shop", "anybody@shop.example.evil.example"),
        ("shop", "anybody@notshop.example"),
        ("shop", "shop.example <anybody@evil.example>"),
        ("shop", '"no-reply@example.org" <ceo@example.org>'),
        ("shop", "no-reply+ceo@example.org"),
        ("shop", "a@strasse.example"),
        # Other mailboxes, which folding would make the same: a Kelvin sign, a long s, a sharp one.
        ("shop", "mar\u212aet@example.org"),
        ("shop", "new\u017f@example.org"),
        ("shop", "straße@example.org"),
        ("retired", "anybody@shop.example"),
        ("Shop", "anybody@shop.example"),
        ("stranger", "anybody@shop.example"),
    ],
)
def test_a_login_may_use_no_other(login: str, sender: str) -> None:
    assert breach(login, sender) is Breach.SENDER_NOT_ALLOWED


@pytest.mark.parametrize("end", [".", "\u3002", "\n", "\r\nSender: ceo@bank.example", "\u200b"])
def test_nothing_can_be_hung_on_an_address(end: str) -> None:
    with pytest.raises(ValueError, match=r"must be addr@domain|is no valid internationalised name"):
        parse_mailbox(f"anybody@shop.example{end}")


@pytest.mark.parametrize("login", [None, ""])
def test_who_does_not_say_its_login_may_use_none(login: str | None) -> None:
    assert breach(login, "anybody@shop.example") is Breach.UNAUTHENTICATED


def test_mail_without_a_login_may_have_senders_of_its_own() -> None:
    policy = SenderPolicy.of({"": ["@old.example"]})

    assert breach(None, "a@old.example", policy) is None
    assert breach("", "a@old.example", policy) is None
    assert breach(None, "a@new.example", policy) is Breach.SENDER_NOT_ALLOWED
    assert breach("shop", "a@old.example", policy) is Breach.SENDER_NOT_ALLOWED


def test_what_is_wrong_is_said_and_the_sender_not_quoted() -> None:
    found = POLICY.breach("shop", parse_mailbox("ceo@example.org"))

    assert found is not None
    assert found.violation.pointer == "/email_from"
    assert "of the login shop" in found.violation.message
    assert "ceo" not in found.violation.message


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "names no login"),
        ({"shop": "@shop.example"}, "'shop' must have a list of"),
        ({"shop": {"example": ["*"]}}, "'shop' must have a list of"),
        ({"shop": [1]}, "'shop' must have a list of"),
        ({"shop": ["shop.example"]}, "a sender of 'shop' must be addr@domain"),
        ({"shop": ["@"]}, "a sender of 'shop' must be addr@domain"),
        ({"shop": ["@*.example"]}, "a sender of 'shop' must be addr@domain"),
        ({"shop": [""]}, "a sender of 'shop' must be addr@domain"),
        ({"shop": ["Shop <a@shop.example>"]}, "must have no display name"),
    ],
)
def test_a_policy_that_cannot_be_read_is_no_policy(table: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SenderPolicy.of(table)
