"""The classification, without a socket."""

import smtplib
import socket
import ssl

import pytest

from consumer.core.outcome import (
    Accepted,
    InDoubt,
    Refused,
    Reply,
    Stage,
    TransactionOutcome,
    Unreachable,
)
from consumer.smtp.outcome_of import (
    Garbled,
    detail_of,
    is_out_of_step,
    outcome_of_end_of_data,
    outcome_of_failure,
    refusal_of,
    trouble_of,
)

BEFORE_MAIL = [stage for stage in Stage if stage.is_before_mail]
FROM_MAIL_TO_DATA = [Stage.MAIL, Stage.RCPT, Stage.DATA]
LOST = ConnectionResetError(104, "Connection reset by peer")


@pytest.mark.parametrize("stage", FROM_MAIL_TO_DATA)
@pytest.mark.parametrize("code", [400, 421, 450, 451, 500, 550, 554, 599])
def test_4yz_and_5yz_refuse(stage: Stage, code: int) -> None:
    reply = Reply(code, "", "no")

    assert refusal_of(stage, reply) == Refused(stage, reply)


@pytest.mark.parametrize(
    ("stage", "code"), [(Stage.MAIL, 250), (Stage.RCPT, 251), (Stage.RCPT, 252), (Stage.DATA, 354)]
)
def test_what_lets_the_mail_go_on_refuses_nothing(stage: Stage, code: int) -> None:
    assert refusal_of(stage, Reply(code)) is None


@pytest.mark.parametrize(
    ("stage", "code"), [(Stage.MAIL, 354), (Stage.RCPT, 334), (Stage.DATA, 250), (Stage.DATA, 350)]
)
def test_what_the_rfc_does_not_know_there_is_garbled(stage: Stage, code: int) -> None:
    with pytest.raises(Garbled, match=f"unexpected reply: {code}"):
        refusal_of(stage, Reply(code))


def test_552_to_a_recipient_is_452_and_elsewhere_it_is_not() -> None:
    reply = Reply(552, "5.5.3", "too many")

    assert refusal_of(Stage.RCPT, reply) == Refused(Stage.RCPT, Reply(452, "5.5.3", "too many"))
    assert refusal_of(Stage.MAIL, reply) == Refused(Stage.MAIL, reply)
    assert outcome_of_end_of_data(reply) == Refused(Stage.END_OF_DATA, reply)


@pytest.mark.parametrize("code", [530, 534, 535, 538])
@pytest.mark.parametrize(
    ("stage", "scope"),
    [(Stage.MAIL, Stage.AUTH), (Stage.RCPT, Stage.RCPT), (Stage.DATA, Stage.DATA)],
)
def test_a_missing_login_never_dead_letters_a_mail(stage: Stage, scope: Stage, code: int) -> None:
    reply = Reply(code, "5.7.0", "log in, ann@example.org")

    expected = Unreachable(scope, f"the relay wants a login: {code} 5.7.0", reply)
    assert refusal_of(stage, reply) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (250, Accepted(Reply(250))),
        (299, Accepted(Reply(299))),
        (354, InDoubt("unexpected reply: 354")),
        (421, Refused(Stage.END_OF_DATA, Reply(421))),
        (535, Refused(Stage.END_OF_DATA, Reply(535))),
        (554, Refused(Stage.END_OF_DATA, Reply(554))),
    ],
)
def test_the_reply_to_the_dot_decides(code: int, expected: TransactionOutcome) -> None:
    assert outcome_of_end_of_data(Reply(code)) == expected


@pytest.mark.parametrize("error", [LOST, TimeoutError(), Garbled("what"), ssl.SSLError("bad")])
def test_a_lost_conversation_is_in_doubt_only_after_the_dot(error: OSError) -> None:
    for stage in Stage:
        outcome = outcome_of_failure(stage, error)
        if stage is Stage.END_OF_DATA:
            assert outcome == InDoubt(detail_of(error))
        else:
            assert outcome == Unreachable(stage, detail_of(error))


@pytest.mark.parametrize("stage", BEFORE_MAIL)
@pytest.mark.parametrize("text", [b"5.7.8 no", "5.7.8 no"])
def test_a_reply_before_mail_is_trouble(stage: Stage, text: bytes) -> None:
    error = smtplib.SMTPResponseException(535, text)

    expected = Unreachable(stage, "535 5.7.8 no", Reply(535, "5.7.8", "no"))
    assert trouble_of(stage, error) == outcome_of_failure(stage, error) == expected


@pytest.mark.parametrize("stage", [*FROM_MAIL_TO_DATA, Stage.END_OF_DATA])
def test_last_words_after_mail_are_a_refusal(stage: Stage) -> None:
    error = smtplib.SMTPResponseException(421, b"4.3.2 bye")

    assert outcome_of_failure(stage, error) == Refused(stage, Reply(421, "4.3.2", "bye"))


def unverified() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_message = "certificate has\nexpired"
    return error


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "the library's words")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (unverified(), "the relay's certificate is not valid: certificate has expired"),
        (tls("WRONG_VERSION_NUMBER"), "TLS failed: WRONG_VERSION_NUMBER"),
        (tls(""), "TLS failed: the library's words"),
        (ssl.SSLError("ours"), "TLS failed: ('ours',)"),
        (socket.gaierror(-2, "Name unknown"), "the relay's name cannot be resolved: Name unknown"),
        (TimeoutError(), "the relay did not answer in time"),
        (TimeoutError(110, "Connection timed out"), "the relay did not answer in time"),
        (LOST, "Connection reset by peer"),
        (Garbled("not an SMTP reply: \x00x"), "not an SMTP reply: x"),
        (UnicodeError("label too long"), "label too long"),
        (OSError(), "OSError"),
    ],
)
def test_the_detail_is_for_a_person(error: Exception, detail: str) -> None:
    assert detail_of(error) == detail


@pytest.mark.parametrize(
    ("reply", "out_of_step"),
    [
        (Reply(554, "", "SMTP synchronization error"), True),
        (Reply(554, "", "SMTP synchronisation error"), True),
        (Reply(503, "5.5.0", "Improper use of SMTP command pipelining"), True),
        (Reply(503, "5.5.1", "PIPELINING not wanted"), True),
        (Reply(550, "5.7.1", "your pipelining is spam"), False),
        (Reply(503, "5.5.1", "need RCPT command"), False),
        (Reply(550, "", "resynchronizations"), False),
    ],
)
def test_only_words_about_the_protocol_mean_out_of_step(reply: Reply, out_of_step: bool) -> None:
    assert is_out_of_step(reply) is out_of_step
