"""The options of `hopmail send` as the JSON of an email."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

from consumer.cli.reading import read
from consumer.core.contract_cure import EXAMPLES
from consumer.core.durations import DURATION, parse_duration
from consumer.core.outcome import Undecodable
from publisher_lib import Attachment

PLAIN: Final = ("subject", "cc", "bcc", "reply_to", "if_uncertain")
"""Options that are fields of the same name."""

OPTIONS: Final = {
    "email_to": "--to",
    "email_from": "--from",
    "subject": "--subject",
    "message": "--text",
    "headers": "--header",
    "attachments": "--attach",
    **{name: f"--{name.replace('_', '-')}" for name in (*PLAIN[1:], "send_at", "expires_at")},
}
"""The option that gives a field."""


def email_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the email that is asked for, without what was not given.

    It may break the contract. Raises OSError for a file that cannot be read, ValueError, which
    names the option, for what cannot be said in JSON.
    """
    made = {
        "email_to": options["to"],
        "email_from": options["from"],
        **{name: options[name] for name in PLAIN},
        "message": _message(options),
        "headers": _headers(options["header"] or ()),
        "attachments": [_attachment(path) for path in options["attach"] or ()],
        "send_at": _moment(options["send_at"]),
        "expires_at": _moment(options["expires_at"]),
    }
    for name, value in made.items():
        _refuse_other_octets(OPTIONS[name], value)
    return {name: value for name, value in made.items() if value}


def option_lines(found: Undecodable) -> Iterator[str]:
    """Yield what is wrong with an email made of options, and what of it to give."""
    for violation in found.violations:
        field, *steps = violation.pointer.lstrip("/").split("/")
        option = OPTIONS.get(field, "the email")
        which = f" no. {int(steps[0]) + 1}" if steps and steps[0].isdecimal() else ""
        yield f"  {option}{which} {violation.message}"
        if violation.message == "is required" and option in OPTIONS.values():
            example = EXAMPLES["text"] if field == "message" else EXAMPLES[field]
            yield f'    → add {option} "{example}"'


def _message(options: Mapping[str, Any]) -> dict[str, str]:
    text = options["text"]
    if options["text_file"]:
        text = _text(options["text_file"])
    html = _text(options["html_file"]) if options["html_file"] else None
    return {name: said for name, said in (("text", text), ("html", html)) if said is not None}


def _refuse_other_octets(option: str, value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{option}: it is not UTF-8") from None


def _text(name: str) -> str:
    try:
        return read(name).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name}: it is not UTF-8") from None


def _headers(given: Sequence[str]) -> dict[str, str]:
    found = [_header(each) for each in given]
    names = [name.casefold() for name, _value in found]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"--header {twice} is given twice: an email has each but once")
    return dict(found)


def _header(given: str) -> tuple[str, str]:
    name, colon, value = given.partition(":")
    if not colon:
        raise ValueError("a header field is NAME:VALUE, as in List-Id:<news.example.org>")
    return name.strip(), value.strip()


def _attachment(path: str) -> dict[str, Any]:
    file = Path(path)
    if not S_ISREG(file.stat().st_mode) and not file.is_dir():
        raise ValueError(f"--attach {path}: it is no file, and need not end")
    return Attachment.from_path(file).model_dump(exclude_none=True)


def _moment(given: str | None) -> str | None:
    """Return a moment as the contract has it; a duration is from now."""
    if given is None or not DURATION.fullmatch(given.strip()):
        return given
    return (datetime.now(UTC) + parse_duration(given)).isoformat(timespec="seconds")
