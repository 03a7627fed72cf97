"""`make mail`: the mail that the demo or `make run` caught, as a person reads it."""

import sys
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Final

from dev.terminal import Colour, paint

MAILDIRS: Final = (Path(".state/run/Maildir"), Path(".state/demo/Maildir"))
SHOWN_FIELDS: Final = ("Date", "From", "To", "Cc", "Subject")


def main() -> int:
    """Show the mail of the Maildir that was made last."""
    made = [maildir for maildir in MAILDIRS if maildir.is_dir()]
    if not made:
        print("no mail yet: run `make demo`, or `make run` and publish some")
        return 1
    latest = max(made, key=lambda maildir: (maildir / "new").stat().st_mtime)
    paths = sorted((latest / "new").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    mails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]
    print(f"{len(mails)} mails in {latest}")
    for mail in mails:
        print("", *_lines(mail), sep="\n")
    return 0


def _lines(mail: EmailMessage) -> Iterator[str]:
    for name in SHOWN_FIELDS:
        if mail[name]:
            yield f"{paint(f'{name:<8}', Colour.FAINT)} {mail[name]}"
    shown = mail.get_body(("plain", "html"))
    yield ""
    if shown is not None:
        yield from (f"  {line}" for line in shown.get_content().splitlines())
    parts = [part.get_content_type() for part in mail.walk() if not part.is_multipart()]
    files = [f"{part.get_filename()} attached" for part in mail.iter_attachments()]
    yield paint(f"  ({', '.join([*parts, *files])})", Colour.FAINT)


if __name__ == "__main__":
    sys.exit(main())
