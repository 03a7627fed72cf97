import base64
from pathlib import Path

import pytest

from dev import mail
from dev.relay import mail_catcher
from publisher_lib import Attachment, Content, Email, Publisher
from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, wait_until


@pytest.mark.timeout(60)
def test_bcc_and_inline_images_show_as_what_they_are(
    vhost: VirtualHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = base64.b64encode(b"...").decode()
    email = Email(
        email_to="ada@example.org",
        bcc="hidden@example.org",
        email_from="app@example.org",
        subject="Hello",
        message=Content(text="It works.", html='<img src="cid:logo">'),
        attachments=(
            Attachment(
                filename="logo.png", content_type="image/png", content=content, content_id="logo"
            ),
            Attachment(filename="terms.pdf", content_type="application/pdf", content=content),
        ),
    )
    monkeypatch.chdir(tmp_path)
    with (
        mail_catcher(tmp_path / ".state/demo/Maildir") as relay,
        consuming(vhost.url, relay.url),
        Publisher(vhost.url) as publisher,
    ):
        publisher.publish(email)
        wait_until(relay.message_ids, 15, "the mail")

    assert mail.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Delivered-To ada@example.org, hidden@example.org" in lines
    assert lines[-1] == (
        "  (text/plain, text/html, image/png logo.png inline, application/pdf terms.pdf attached)"
    )
