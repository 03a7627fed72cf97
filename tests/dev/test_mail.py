import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev import mail
from dev.relay import mail_catcher
from publisher_lib import Attachment, Content, Email, Publisher
from tests.dev.script import ROOT
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


@pytest.mark.parametrize("mails", [1, 1000])
def test_a_reader_who_has_seen_enough_is_no_error(tmp_path: Path, mails: int) -> None:
    """Else make adds a line of its own to what `make mail | head` shows."""
    new = tmp_path / ".state/run/Maildir/new"
    new.mkdir(parents=True)
    for number in range(mails):
        (new / f"{number}").write_text(f"Subject: {number}\n\n{'It works. ' * 20}\n")
    (tmp_path / "Makefile").write_text(f"mail:\n\t@{sys.executable} -X utf8 -m dev.mail\n")
    # A make within a make says which folder it enters, and dies of that here.
    outer = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    environment = outer | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "wb") as nobody:  # noqa: PTH123 - no path
        ended = subprocess.run(
            ["make", "mail"],
            cwd=tmp_path,
            env=environment,
            stdout=nobody,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert (ended.returncode, ended.stderr) == (0, b"")
