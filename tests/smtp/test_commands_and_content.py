"""The envelope's commands, the content's wire form and the answer, without a socket."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.answer import Outcomes, answer_for_all
from consumer.core.envelope import Envelope
from consumer.core.outcome import Accepted, InDoubt, Reply
from consumer.smtp.commands import EnvelopeCommands, Extensions, Lacking, envelope_commands
from consumer.smtp.content import BareLineEnding, wire_form

ENVELOPE = Envelope("a@x.org", ("b@x.org", "c@x.org"))
ACCEPTED, DOUBT = Accepted(Reply(250)), InDoubt("lost")


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({}, Extensions()),
        ({"pipelining": "", "smtputf8": ""}, Extensions(pipelining=True, smtputf8=True)),
        ({"size": "10240000"}, Extensions(size_limit=10_240_000)),
        ({"size": ""}, Extensions(size_limit=0)),
        ({"size": "0"}, Extensions(size_limit=0)),
        ({"size": "unlimited"}, Extensions(size_limit=0)),
        ({"size": "-1"}, Extensions(size_limit=0)),
        ({"size": "\u0663"}, Extensions(size_limit=0)),
        ({"size": "9" * 5000}, Extensions(size_limit=0)),
    ],
)
def test_what_a_relay_offers_is_read(features: dict[str, str], expected: Extensions) -> None:
    assert Extensions.of(features) == expected


@pytest.mark.parametrize(
    ("extensions", "mail"),
    [
        (Extensions(), b"MAIL FROM:<a@x.org>\r\n"),
        (Extensions(size_limit=0), b"MAIL FROM:<a@x.org> SIZE=4\r\n"),
        (Extensions(size_limit=4, smtputf8=True), b"MAIL FROM:<a@x.org> SIZE=4\r\n"),
    ],
)
def test_the_commands_of_an_envelope(extensions: Extensions, mail: bytes) -> None:
    commands = envelope_commands(ENVELOPE, b"hi\r\n", extensions)

    assert isinstance(commands, EnvelopeCommands)
    assert commands.mail == mail
    assert commands.group == mail + b"RCPT TO:<b@x.org>\r\nRCPT TO:<c@x.org>\r\nDATA\r\n"


@pytest.mark.parametrize(
    ("envelope", "content"),
    [(Envelope("é@x.org", ("b@x.org",)), b"hi"), (ENVELOPE, "é".encode())],
)
def test_beyond_ascii_needs_smtputf8(envelope: Envelope, content: bytes) -> None:
    commands = envelope_commands(envelope, content, Extensions(smtputf8=True))
    with pytest.raises(Lacking) as lacking:
        envelope_commands(envelope, content, Extensions())

    assert isinstance(commands, EnvelopeCommands)
    assert commands.mail.endswith(b"> BODY=8BITMIME SMTPUTF8\r\n")
    assert lacking.value.refused.reply.is_permanent


def test_a_mail_above_the_limit_is_refused() -> None:
    with pytest.raises(Lacking) as lacking:
        envelope_commands(ENVELOPE, b"12345", Extensions(size_limit=4))

    assert lacking.value.refused.reply.code == 552


@given(st.text(min_size=1, max_size=20))
def test_no_address_makes_a_second_command_or_parameter(address: str) -> None:
    envelope = Envelope("a@x.org", (address,))
    commands = envelope_commands(envelope, b"", Extensions(smtputf8=True))

    if isinstance(commands, EnvelopeCommands):
        assert re.fullmatch(rb"RCPT TO:<[^<>\s]+>\r\n", commands.rcpts[0])


def unstuffed(wire: bytes) -> bytes:
    """Read the content as a relay does (RFC 5321 §4.5.2)."""
    lines = wire.split(b"\r\n")
    end = lines.index(b".")
    assert lines[end:] == [b".", b""]
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:end])


pieces = st.lists(st.sampled_from([b".", b"..", b"\r\n", b"x", b" ", b"\x00", b"\xc3\xa9"]))


@given(pieces.map(b"".join))
def test_a_relay_reads_back_the_same_content(content: bytes) -> None:
    expected = content if content.endswith(b"\r\n") or not content else content + b"\r\n"

    assert unstuffed(wire_form(content)) == expected


@given(st.lists(st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"x"])).map(b"".join))
def test_a_bare_cr_or_lf_is_never_let_through(content: bytes) -> None:
    if re.search(rb"\r(?!\n)|(?<!\r)\n", content):
        with pytest.raises(BareLineEnding):
            wire_form(content)
    else:
        assert wire_form(content).count(b"\r\n.\r\n") <= 1


def test_the_first_outcome_given_stands() -> None:
    outcomes = Outcomes(("a@x.org", "b@x.org"))
    outcomes.give(1, DOUBT)
    assert not outcomes.are_complete

    outcomes.give(1, ACCEPTED)
    outcomes.give_rest(ACCEPTED)

    assert outcomes.are_complete
    assert outcomes.answer() == (("a@x.org", ACCEPTED), ("b@x.org", DOUBT))


def test_no_answer_leaves_a_recipient_out() -> None:
    outcomes = Outcomes(("a@x.org", "b@x.org"))
    outcomes.give(0, ACCEPTED)

    with pytest.raises(KeyError):
        outcomes.answer()


def test_the_same_recipient_twice_has_an_outcome_each() -> None:
    assert answer_for_all(("a@x.org", "a@x.org"), DOUBT) == (("a@x.org", DOUBT),) * 2
