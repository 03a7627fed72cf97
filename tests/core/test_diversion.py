"""Who gets the mail of a staging machine, and what it says to them."""

from email import message_from_bytes
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.answer import answer_for_all
from consumer.core.diversion import (
    DIVERTED_FROM,
    Diversion,
    answer_of_originals,
    read_address,
    read_allowed,
)
from consumer.core.envelope import Composed, Envelope
from consumer.core.outcome import Accepted, InDoubt, Refused, Reply, Stage, Unreachable
from publisher_lib import Content, Email

QA = "qa@staging.example"
ADA, BOB, EVE = "ada@example.org", "bob@example.com", "eve@example.net"
CONTENT = b"From: app@example.org\r\nTo: ada@example.org\r\nSubject: Hi\r\n\r\nHello\r\n"
EVERYBODY = Diversion(QA, None)
OTHERS = Diversion(QA, frozenset({"example.org"}))
NOBODY_ELSE = Diversion(None, frozenset({"example.org", BOB}))


def email(to: str | list[str] = ADA, **more: list[str]) -> Email:
    return Email(
        email_to=to,
        email_from="app@example.org",
        subject="Hi",
        message=Content(text="Hello"),
        **more,  # type: ignore[arg-type]
    )


def diverted(diversion: Diversion, mail: Email) -> tuple[Composed, str | None]:
    """Return the mail, and whom its header says that it is diverted from."""
    composed = diversion.divert(
        Composed(Envelope("app@example.org", mail.recipients), CONTENT), mail
    )
    assert composed.content.endswith(CONTENT)
    named = message_from_bytes(composed.content, policy=SMTP)[DIVERTED_FROM]
    return composed, None if named is None else str(named)


def test_all_mail_goes_to_one_address_and_says_for_whom_it_was() -> None:
    composed, named = diverted(EVERYBODY, email([ADA, BOB], bcc=[EVE]))

    assert composed.envelope == Envelope("app@example.org", (QA,))
    assert named == f"{ADA}, {BOB}, {EVE}"
    assert composed.originals((QA,)) == (ADA, BOB, EVE)


def test_who_is_allowed_gets_the_mail_itself() -> None:
    composed, named = diverted(OTHERS, email([ADA, BOB], bcc=[EVE]))

    assert composed.envelope.recipients == (ADA, QA)
    assert named == BOB, "Ada must not learn of a blind copy"
    assert composed.originals((QA,)) == (BOB, EVE)
    assert composed.originals((ADA, QA)) == (ADA, BOB, EVE)


def test_a_blind_copy_beside_an_allowed_recipient_is_named_to_nobody() -> None:
    _composed, named = diverted(OTHERS, email(ADA, bcc=[EVE]))

    assert named == "undisclosed-recipients:;"


@pytest.mark.parametrize(
    ("diversion", "mail"),
    [(OTHERS, email()), (NOBODY_ELSE, email([ADA, BOB])), (EVERYBODY, email(QA))],
)
def test_a_mail_of_allowed_recipients_stays_as_it_is(diversion: Diversion, mail: Email) -> None:
    composed, named = diverted(diversion, mail)

    assert (composed.content, composed.envelope.recipients) == (CONTENT, mail.recipients)
    assert named is None
    assert composed.stands_for is None
    assert composed.originals(mail.recipients) == mail.recipients


def test_the_address_itself_may_be_among_the_recipients() -> None:
    composed, named = diverted(EVERYBODY, email([ADA, QA, BOB]))

    assert composed.envelope.recipients == (QA,)
    assert composed.originals((QA,)) == (ADA, QA, BOB)
    assert named == f"{ADA}, {BOB}"
    outcomes = dict(answer_of_originals(composed, ((QA, Accepted(Reply(250, "", "ok"))),)))
    assert outcomes[QA] == Accepted(Reply(250, "", "ok"))
    assert outcomes[ADA] == outcomes[BOB] == Accepted(Reply(250, "", "(diverted) ok"))


def test_without_another_address_the_others_are_barred() -> None:
    assert NOBODY_ELSE.barred((ADA, BOB, EVE, "bob2@example.com")) == (EVE, "bob2@example.com")
    assert OTHERS.barred((ADA, BOB, EVE)) == EVERYBODY.barred((ADA,)) == ()


@pytest.mark.parametrize(
    "address", ["ada@sub.example.org", "ada@example.org.evil.example", "ada@xexample.org"]
)
def test_a_domain_allows_no_other(address: str) -> None:
    assert NOBODY_ELSE.barred((address,)) == (address,)


def test_each_answer_is_given_to_whom_the_mail_was_meant_for() -> None:
    composed, _named = diverted(OTHERS, email([ADA, BOB], bcc=[EVE]))
    answer = ((ADA, Accepted(Reply(250))), (QA, Refused(Stage.RCPT, Reply(450, "4.2.1", "full"))))

    outcomes = dict(answer_of_originals(composed, answer))

    marked = Refused(Stage.RCPT, Reply(450, "4.2.1", "(diverted) full"))
    assert outcomes == {ADA: Accepted(Reply(250)), BOB: marked, EVE: marked}
    lost = Unreachable(Stage.MAIL, "lost")
    for outcome, told in ((lost, lost), (InDoubt("cut"), InDoubt("(diverted) cut"))):
        answered = answer_of_originals(composed, answer_for_all((ADA, QA), outcome))
        assert dict(answered) == {ADA: outcome, BOB: told, EVE: told}


MAILBOXES = st.integers(0, 30).map(lambda n: f"{'u' * n}{n}@d{n % 5}.example")


@given(
    st.lists(MAILBOXES, min_size=1, max_size=40, unique=True),
    st.sets(st.sampled_from([f"d{n}.example" for n in range(5)])),
    st.booleans(),
)
def test_nobody_is_forgotten_and_no_stranger_is_reached(
    recipients: list[str], allowed: set[str], has_list: bool
) -> None:
    diversion = Diversion(QA, frozenset(allowed) if has_list else None)
    composed, named = diverted(diversion, email(recipients))

    reached = composed.envelope.recipients
    assert len(set(reached)) == len(reached)
    assert all(address == QA or diversion.allows(address) for address in reached)
    assert sorted(composed.originals(reached)) == sorted(recipients)
    strangers = [address for address in recipients if not diversion.allows(address)]
    assert (named or "") == ", ".join(strangers)
    head = composed.content.removesuffix(CONTENT)
    assert max((len(line) for line in head.split(b"\r\n")), default=0) <= 998


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", None),
        (" ", None),
        ("Example.org", {"example.org"}),
        ("example.org, Ada@Example.com", {"example.org", "Ada@example.com"}),
        ("bücher.example", {"xn--bcher-kva.example"}),
    ],
)
def test_domains_and_addresses_are_read(text: str, read: set[str] | None) -> None:
    assert read_allowed(text) == read


@pytest.mark.parametrize(
    "text", [",", "example.org,", "*.example.org", "a b", "@example.org", "x@"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be domains and addresses, comma-separated"):
        read_allowed(text)


def test_the_other_address_is_one() -> None:
    assert read_address(" ") is None
    assert read_address(f" QA Team <{QA}>") == QA
    for wrong in ("qa", f"{QA},{ADA}", f"{QA}\n"[:-1] + " x"):
        with pytest.raises(ValueError, match="must be one address"):
            read_address(wrong)


@pytest.mark.parametrize("diversion", [EVERYBODY, OTHERS, NOBODY_ELSE])
def test_a_caution_names_the_setting_and_no_address(diversion: Diversion) -> None:
    assert diversion.caution.startswith("HOPMAIL_")
    assert "@" not in diversion.caution
