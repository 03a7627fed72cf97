"""Hypothesis strategies: emails of the contract, and what comes close to one."""

import base64
from typing import Any

from hypothesis import strategies as st

ATOM = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,12}", fullmatch=True)
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
DOMAIN = st.one_of(
    st.builds(lambda host, top: f"{host}.{top}", LABEL, st.sampled_from(["org", "example", "de"])),
    st.sampled_from(["bücher.example", "localhost", "xn--bcher-kva.example"]),
)
LOCAL = st.one_of(
    st.lists(ATOM, min_size=1, max_size=3).map(".".join),
    st.sampled_from(["zoë", "пользователь"]),
)
ADDRESS = st.builds(lambda local, domain: f"{local}@{domain}", LOCAL, DOMAIN)

LINE_CHARACTERS = st.characters(
    exclude_categories=["Cc", "Cs", "Zl", "Zp"],
)
LINE = st.text(LINE_CHARACTERS, max_size=80)
NAME = st.text(LINE_CHARACTERS.filter(lambda character: character not in "<>"), max_size=40)
MAILBOX = st.one_of(
    ADDRESS,
    st.builds(lambda name, address: f"{name} <{address}>", NAME, ADDRESS),
    st.builds(lambda name, address: f'"{name}" <{address}>', NAME, ADDRESS),
)
MAILBOXES = st.one_of(MAILBOX, st.lists(MAILBOX, min_size=1, max_size=5))

BODY = st.text(max_size=300)
LONG_LINES = st.builds(lambda word, times: word * times, st.text(max_size=9), st.integers(0, 400))
TEXT = st.one_of(BODY, LONG_LINES)
CONTENT = st.one_of(
    st.fixed_dictionaries({"text": TEXT}),
    st.fixed_dictionaries({"html": TEXT}),
    st.fixed_dictionaries({"text": TEXT, "html": TEXT}),
)
HEADERS = st.dictionaries(
    st.from_regex(r"X-[A-Za-z0-9!#$%&'*+._`{|}~-]{1,30}", fullmatch=True),
    LINE.filter(bool),
    max_size=5,
).filter(lambda headers: len({name.lower() for name in headers}) == len(headers))
"""Names that differ in case only are one field to whoever reads the mail."""

FILENAME = st.text(LINE_CHARACTERS.filter(lambda c: c not in "/\\"), min_size=1, max_size=60)
ATTACHMENT = st.fixed_dictionaries(
    {
        "filename": FILENAME,
        "content_type": st.sampled_from(
            ["text/plain", "image/png", 'text/calendar; method=REQUEST; charset="utf-8"']
        ),
        "content": st.binary(max_size=300).map(lambda data: base64.b64encode(data).decode()),
    },
    optional={"content_id": st.from_regex(r"[A-Za-z0-9._+-]{1,20}", fullmatch=True)},
)
INSTANT = st.sampled_from(
    ["2026-11-25T08:00:00Z", "2028-02-29T23:59:59.5+05:30", "1999-01-01T00:00:00-08:00"]
)


def emails() -> st.SearchStrategy[dict[str, Any]]:
    """Emails of the contract, in their JSON form."""
    return st.fixed_dictionaries(
        {
            "email_to": MAILBOXES,
            "email_from": MAILBOX,
            "subject": LINE.filter(bool),
            "message": CONTENT,
        },
        optional={
            "cc": MAILBOXES,
            "bcc": MAILBOXES,
            "reply_to": MAILBOXES,
            "headers": HEADERS,
            "attachments": st.lists(ATTACHMENT, max_size=3),
            "send_at": INSTANT,
            "expires_at": INSTANT,
            "if_uncertain": st.sampled_from(["resend", "hold", None]),
        },
    )


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
HOSTILE = st.sampled_from(
    [
        "a\r\nBcc: x@example.org",
        "\n",
        "\0",
        "a@b@c",
        "<a@b.c>",
        "",
        "x" * 1000,
        "2026-02-30T00:00:00Z",
    ]
)
FIELDS = st.sampled_from(
    [
        "email_to", "email_from", "subject", "message", "cc", "bcc", "reply_to", "headers",
        "attachments", "send_at", "expires_at", "if_uncertain", "unknown",
    ]
)  # fmt: skip


@st.composite
def near_misses(draw: st.DrawFn) -> dict[str, Any]:
    """Emails of which one or two fields were replaced, at some depth, by something else."""
    email = draw(emails())
    for _ in range(draw(st.integers(1, 2))):
        field = draw(FIELDS)
        replacement = draw(st.one_of(HOSTILE, JSON_VALUES, LINE))
        inside = email.get(field)
        if isinstance(inside, list) and inside and draw(st.booleans()):
            inside[0] = replacement
        elif isinstance(inside, dict) and draw(st.booleans()):
            inside[draw(st.sampled_from(["text", "html", "X-A", "Bcc", "é"]))] = replacement
        else:
            email[field] = replacement
    return email
