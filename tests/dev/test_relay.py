import smtplib
from pathlib import Path

import pytest

from dev.relay import mail_catcher

MAIL = b"Message-ID: <m1@app.example>\r\nSubject: Hello\r\n\r\nHello\r\n"


def send(port: int, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", port) as session:
        session.sendmail("app@app.example", recipients, MAIL)


def test_a_mail_lies_in_the_maildir_with_its_envelope_on_top(tmp_path: Path) -> None:
    with mail_catcher(tmp_path / "Maildir") as relay:
        send(relay.port, "ada@example.org", "hidden@example.org")

    (path,) = (tmp_path / "Maildir" / "new").iterdir()
    assert path.read_bytes() == (
        b"Return-Path: <app@app.example>\n"
        b"Delivered-To: ada@example.org\nDelivered-To: hidden@example.org\n"
        b"Message-ID: <m1@app.example>\nSubject: Hello\n\nHello\n"
    )
    assert relay.message_ids() == {"m1": 1}


def test_later_is_deferred_once_and_nobody_always_refused(tmp_path: Path) -> None:
    with mail_catcher(tmp_path / "Maildir") as relay:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as deferred:
            send(relay.port, "later@example.org")
        send(relay.port, "later@example.org")
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            send(relay.port, "nobody@example.org")

    assert deferred.value.recipients["later@example.org"][0] == 451
    assert refused.value.recipients["nobody@example.org"][0] == 550
    assert relay.message_ids() == {"m1": 1}


def test_it_begins_with_an_empty_maildir(tmp_path: Path) -> None:
    with mail_catcher(tmp_path / "Maildir") as relay:
        send(relay.port, "ada@example.org")
    with mail_catcher(tmp_path / "Maildir") as relay:
        assert not relay.message_ids()


def test_while_away_it_turns_everybody_away(tmp_path: Path) -> None:
    with mail_catcher(tmp_path / "Maildir") as relay:
        relay.is_away = True
        with pytest.raises(smtplib.SMTPSenderRefused) as turned_away:
            send(relay.port, "ada@example.org")
        relay.is_away = False
        send(relay.port, "ada@example.org")

    assert turned_away.value.smtp_code == 421
    assert relay.message_ids() == {"m1": 1}


def test_the_first_mail_to_doubt_gets_no_answer(tmp_path: Path) -> None:
    with mail_catcher(tmp_path / "Maildir") as relay:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(relay.port, "doubt@example.org")
        assert not relay.message_ids()
        send(relay.port, "doubt@example.org")

    assert relay.message_ids() == {"m1": 1}
