"""Transactions: recipients one by one, the content's octets, and when nobody can know."""

import pytest

from consumer.core.envelope import Envelope
from consumer.core.outcome import Accepted, InDoubt, Refused, Reply, Stage, Unreachable
from consumer.core.relay_url import RelayURL
from consumer.smtp.relay import Relay
from consumer.smtp.session import GivenBack
from tests.support.smtp_script import Event, by_recipient, hang_up, reset, say
from tests.support.smtp_server import smtp_server
from tests.support.transacting import ANN, BOB, CONTENT, ENVELOPE, EVE, SENDER, transact, yes

EITHER_WAY = pytest.mark.parametrize(
    "extensions", [("PIPELINING",), ()], ids=["pipelined", "one by one"]
)
QUEUED = Accepted(Reply(250, "2.0.0", "queued"))
HUGE = b"Subject: hi\r\n\r\n" + b"x" * 70 + b"\r\n"
HUGE += (b"y" * 76 + b"\r\n") * 50_000

BEYOND_BUFFERS = HUGE * 4
"""More than the kernel takes from a writer whose reader is gone: 4 MiB, as Linux comes."""


@EITHER_WAY
def test_each_recipient_has_its_own_outcome(extensions: tuple[str, ...]) -> None:
    rule = by_recipient({BOB: say("450 4.2.1 busy"), EVE: say("550 5.1.1 unknown")})

    with smtp_server({"RCPT": rule}, extensions=extensions) as server:
        answer = transact(server.url, Envelope(SENDER, (EVE, ANN, BOB)))

    assert answer == {
        EVE: Refused(Stage.RCPT, Reply(550, "5.1.1", "unknown")),
        ANN: QUEUED,
        BOB: Refused(Stage.RCPT, Reply(450, "4.2.1", "busy")),
    }
    assert [mail.recipients for mail in server.mails] == [(ANN,)]


@EITHER_WAY
def test_a_recipient_refused_before_the_end_keeps_its_refusal(extensions: tuple[str, ...]) -> None:
    rules = {"RCPT": by_recipient({BOB: say("550 5.1.1 unknown")}), "END_OF_DATA": hang_up()}

    with smtp_server(rules, extensions=extensions) as server:
        answer = transact(server.url)

    assert isinstance(answer[ANN], InDoubt)
    assert answer[BOB] == Refused(Stage.RCPT, Reply(550, "5.1.1", "unknown"))


def test_the_first_refusal_counts_and_not_its_consequences() -> None:
    with smtp_server({"MAIL": say("451 4.3.0 later")}) as server:
        answer = transact(server.url)

    assert answer[ANN] == answer[BOB] == Refused(Stage.MAIL, Reply(451, "4.3.0", "later"))
    assert [command.split()[0] for command in server.commands] == [
        *("EHLO", "MAIL", "RCPT", "RCPT", "DATA", "RSET", "QUIT")
    ]


def test_data_taken_for_nobody_gets_a_lone_dot_and_is_never_in_doubt() -> None:
    rules = {"RCPT": say("550 5.1.1 unknown"), "END_OF_DATA": hang_up()}

    with smtp_server(rules, takes_data_for_nobody=True) as server:
        answer = transact(server.url)

    assert answer[ANN] == answer[BOB] == Refused(Stage.RCPT, Reply(550, "5.1.1", "unknown"))
    assert [mail.content for mail in server.dotted] == [b""]


def test_after_a_lone_dot_the_session_takes_the_next_mail() -> None:
    rules = {"RCPT": [say("550 no"), say("550 no")], "END_OF_DATA": [say("554 nobody")]}

    with smtp_server(rules, takes_data_for_nobody=True) as server:
        transactor = Relay(RelayURL.parse(server.url)).transactor()
        first = dict(transactor.transact(ENVELOPE, CONTENT, yes))
        second = dict(transactor.transact(ENVELOPE, CONTENT, yes))
        transactor.close()

    assert isinstance(first[ANN], Refused)
    assert second == {ANN: QUEUED, BOB: QUEUED}
    assert server.sessions == 1


@EITHER_WAY
def test_the_content_arrives_octet_by_octet(extensions: tuple[str, ...]) -> None:
    content = b".first\r\n..\r\n.\r\n\r\n.\r\nMAIL FROM:<x@y>\r\n. \r\nlast without an end"

    with smtp_server(extensions=extensions) as server:
        transact(server.url, content=content)

    assert [mail.content for mail in server.mails] == [content + b"\r\n"]
    assert [mail.sender for mail in server.mails] == [SENDER]


@EITHER_WAY
def test_a_huge_content_goes_out_in_writes(extensions: tuple[str, ...]) -> None:
    with smtp_server(extensions=extensions) as server:
        answer = transact(server.url, content=HUGE)

    assert answer[ANN] == QUEUED
    assert server.mails[0].content == HUGE


def test_more_recipients_than_fit_one_write_are_all_told() -> None:
    recipients = tuple(f"{'r' * 60}.{n}@{'d' * 63}.{'e' * 63}.example.org" for n in range(100))

    with smtp_server() as server:
        answer = transact(server.url, Envelope(SENDER, recipients))

    assert set(answer.values()) == {QUEUED}
    assert server.mails[0].recipients == recipients


@pytest.mark.parametrize(
    "content",
    [
        b"a\r\n\n.\r\nMAIL FROM:<x@y>\r\n",
        b"a\n.\nMAIL FROM:<x@y>\n",
        b"a\r.\r\nMAIL FROM:<x@y>\r\n",
        b"a\r\n.\rMAIL FROM:<x@y>\r\n",
        b"a\n.\r\nMAIL FROM:<x@y>\r\n",
        b"ends with \r",
        b"a\r\r\n.\r\n",
    ],
)
def test_a_bare_cr_or_lf_never_leaves(content: bytes) -> None:
    with smtp_server() as server:
        answer = transact(server.url, content=content)

    assert answer[ANN] == Refused(Stage.DATA, Reply(554, "5.6.0", "a bare CR or LF: not sent"))
    assert [command for command in server.commands if command.startswith("MAIL")] == []


@pytest.mark.parametrize("address", ["a@b> SIZE=1", "a b@c", "a@b\r\nDATA", "<a@b", "a@b\x85", ""])
def test_an_address_that_could_add_commands_never_leaves(address: str) -> None:
    with smtp_server() as server:
        as_recipient = transact(server.url, Envelope(SENDER, (ANN, address)))
        as_sender = transact(server.url, Envelope(address, (ANN,)))

    for answer in (as_recipient, as_sender):
        outcome = answer[ANN]
        assert isinstance(outcome, Refused)
        assert outcome.reply.enhanced == "5.1.3"
    assert {command.split()[0] for command in server.commands} == {"EHLO", "QUIT"}


@pytest.mark.parametrize("event", [hang_up("552 5.3.4 too big"), reset("552 5.3.4 too big")])
def test_the_last_words_of_a_relay_that_cuts_the_content_count(event: Event) -> None:
    with smtp_server({"CONTENT": event}) as server:
        answer = transact(server.url, content=BEYOND_BUFFERS)

    assert answer[ANN] == Refused(Stage.DATA, Reply(552, "5.3.4", "too big"))
    assert server.dotted == []


@pytest.mark.parametrize(
    "event", [hang_up(), hang_up("250 2.0.0 queued"), reset("354 go on")], ids=str
)
def test_a_relay_that_cuts_the_content_and_refuses_nothing_has_surely_not_taken_it(
    event: Event,
) -> None:
    with smtp_server({"CONTENT": event}) as server:
        answer = transact(server.url, content=BEYOND_BUFFERS)

    outcome = answer[ANN]
    assert isinstance(outcome, Unreachable)
    assert outcome.stage is Stage.DATA


@EITHER_WAY
@pytest.mark.parametrize("content", [CONTENT, HUGE], ids=["small", "huge"])
def test_where_the_dot_may_not_go_nothing_is_sent(
    extensions: tuple[str, ...], content: bytes
) -> None:
    with smtp_server(extensions=extensions) as server:
        with pytest.raises(GivenBack):
            transact(server.url, content=content, before_dot=lambda _recipients: False)
        answer = transact(server.url, content=content)

    assert answer[ANN] == QUEUED
    assert len(server.dotted) == 1


def test_before_the_dot_is_asked_once_and_only_when_the_content_may_go() -> None:
    asked: list[tuple[int, tuple[str, ...]]] = []

    def ask(recipients: tuple[str, ...]) -> bool:
        asked.append((len(server.dotted), recipients))
        return True

    rules = {"MAIL": [None, say("450 no")], "RCPT": by_recipient({ANN: say("450 4.2.1 busy")})}
    with smtp_server(rules) as server:
        transactor = Relay(RelayURL.parse(server.url)).transactor()
        for _ in range(2):
            transactor.transact(ENVELOPE, HUGE, ask)
        transactor.close()

    assert asked == [(0, (BOB,))]


def test_a_bug_before_the_dot_leaves_no_session_in_the_middle() -> None:
    def bug(_recipients: tuple[str, ...]) -> bool:
        raise ZeroDivisionError

    with smtp_server() as server:
        transactor = Relay(RelayURL.parse(server.url)).transactor()
        with pytest.raises(ZeroDivisionError):
            transactor.transact(ENVELOPE, HUGE, bug)
        answer = dict(transactor.transact(ENVELOPE, CONTENT, yes))
        transactor.close()

    assert answer[ANN] == QUEUED
    assert [mail.content for mail in server.dotted] == [CONTENT]
    assert server.sessions == 2


def test_a_mailbox_name_beyond_ascii_is_sent_with_smtputf8() -> None:
    jose = "josé@example.org"

    with smtp_server() as server:
        answer = transact(server.url, Envelope(SENDER, (jose,)), "Subject: é\r\n\r\n".encode())

    assert answer == {jose: QUEUED}
    assert server.mails[0].recipients == (jose,)
    assert "SMTPUTF8" in server.mails[0].options


@pytest.mark.parametrize(
    ("sender", "recipient", "content"),
    [
        (SENDER, "josé@example.org", CONTENT),
        ("josé@example.org", ANN, CONTENT),
        (SENDER, ANN, "To: josé@example.org\r\n\r\n".encode()),
    ],
)
def test_a_relay_without_smtputf8_is_not_asked(sender: str, recipient: str, content: bytes) -> None:
    with smtp_server(extensions=()) as server:
        answer = transact(server.url, Envelope(sender, (recipient,)), content)

    outcome = answer[recipient]
    assert isinstance(outcome, Refused)
    assert (outcome.reply.code, outcome.reply.enhanced) == (553, "5.6.7")
    assert [command for command in server.commands if command.startswith("MAIL")] == []


def test_what_is_above_the_relays_size_limit_is_not_offered() -> None:
    with smtp_server(size_limit=1000) as server:
        fits = transact(server.url, content=CONTENT)
        above = transact(server.url, content=CONTENT + b"x" * 1000 + b"\r\n")

    assert fits[ANN] == QUEUED
    assert above[ANN] == Refused(
        Stage.MAIL, Reply(552, "5.3.4", "the mail has 1024 bytes, the relay takes 1000")
    )
    assert [command for command in server.commands if command.startswith("MAIL")] == [
        f"MAIL FROM:<{SENDER}> SIZE=22"
    ]


def test_pipelining_is_used_only_where_it_is_offered() -> None:
    with smtp_server({"RCPT": say("550 no")}, extensions=()) as server:
        transact(server.url)

    assert "DATA" not in server.commands
