"""`make mail`: the mail that the demo or `make run` caught, as a person reads it."""

import os
import sys
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from pathlib import Path
from typing import Final

from dev.terminal import Colour, paint

MAILDIRS: Final = (Path(".state/run/Maildir"), Path(".state/demo/Maildir"))
SHOWN_FIELDS: Final = ("Delivered-To", "Date", "From", "To", "Cc", "Subject")
KINDS: Final = {"attachment": "attached", "inline": "inline"}


def main() -> int:
    """Show the mail of the Maildir that was made last."""
    made = [maildir for maildir in MAILDIRS if maildir.is_dir()]
    if not made:
        print("no mail yet: run `make demo`, or `make run` and publish some")
        return 1
    latest = max(made, key=lambda maildir: (maildir / "new").stat().st_mtime)
    paths = sorted((latest / "new").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    mails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]
    print(f"{len(mails)} mail{'' if len(mails) == 1 else 's'} in {latest}")
    for mail in mails:
        print("", *_lines(mail), sep="\n")
    return 0


def _lines(mail: EmailMessage) -> Iterator[str]:
    for name in SHOWN_FIELDS:
        # The relay notes each recipient of the envelope, those of bcc too.
        if found := mail.get_all(name):
            yield f"{paint(f'{name:<12}', Colour.FAINT)} {', '.join(map(str, found))}"
    shown = mail.get_body(("plain", "html"))
    yield ""
    if shown is not None:
        yield from (f"  {line}" for line in shown.get_content().splitlines())
    parts = [_words(part) for part in mail.walk() if not part.is_multipart()]
    yield paint(f"  ({', '.join(parts)})", Colour.FAINT)


def _words(part: Message) -> str:
    kind = KINDS.get(part.get_content_disposition() or "")
    told = (part.get_content_type(), part.get_filename(), kind)
    return " ".join(word for word in told if word)


def _as_far_as_it_is_read() -> int:
    """Show it; make takes an end by SIGPIPE, as in `make mail | head`, for an error and says so."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes what is left when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(_as_far_as_it_is_read())
