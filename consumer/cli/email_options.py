"""The options of `hopmail send` as the JSON of an email."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from consumer.cli.validate import read
from consumer.core.durations import DURATION, parse_duration
from publisher_lib import Attachment

PLAIN: Final = ("subject", "cc", "bcc", "reply_to", "if_uncertain")
"""Options that are fields of the same name."""


def email_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the email that is asked for, without what was not given.

    It may break the contract. Raises OSError for a file that cannot be read, ValueError for what
    is no header field or not UTF-8.
    """
    made = {
        "email_to": options["to"],
        "email_from": options["from"],
        **{name: options[name] for name in PLAIN},
        "message": _message(options),
        "headers": dict(map(_header, options["header"] or ())),
        "attachments": [_attachment(path) for path in options["attach"] or ()],
        "send_at": _moment(options["send_at"]),
        "expires_at": _moment(options["expires_at"]),
    }
    return {name: value for name, value in made.items() if value}


def _message(options: Mapping[str, Any]) -> dict[str, str]:
    text = options["text"]
    if options["text_file"]:
        text = _text(options["text_file"])
    html = _text(options["html_file"]) if options["html_file"] else None
    return {name: said for name, said in (("text", text), ("html", html)) if said is not None}


def _text(name: str) -> str:
    try:
        return read(name).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name}: it is not UTF-8") from None


def _header(given: str) -> tuple[str, str]:
    name, colon, value = given.partition(":")
    if not colon:
        raise ValueError("a header field is NAME:VALUE, as in List-Id:<news.example.org>")
    return name.strip(), value.strip()


def _attachment(path: str) -> dict[str, Any]:
    return Attachment.from_path(Path(path)).model_dump(exclude_none=True)


def _moment(given: str | None) -> str | None:
    """Return a moment as the contract has it; a duration is from now."""
    if given is None or not DURATION.fullmatch(given.strip()):
        return given
    return (datetime.now(UTC) + parse_duration(given)).isoformat(timespec="seconds")
