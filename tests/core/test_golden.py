"""Emails and the octets they are sent as, one beside the other in `golden/`: to be read by people.

A change of what is sent shows in a diff of these files.
"""

import json
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from consumer.core.compose import compose
from publisher_lib.message import Email

GOLDEN = sorted(Path(__file__).with_name("golden").glob("*.json"))
DATE = datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_email_is_sent_as_these_octets(path: Path) -> None:
    email = Email.model_validate(json.loads(path.read_text()))

    content = compose(email, f"golden-{path.stem}", DATE).content

    assert content == path.with_suffix(".eml").read_bytes()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_standard_library_finds_no_fault_in_them(path: Path) -> None:
    message = message_from_bytes(path.with_suffix(".eml").read_bytes(), policy=policy.default)

    assert [part.defects for part in message.walk() if part.defects] == []
    assert [name for name, field in message.items() if getattr(field, "defects", ())] == []


def test_each_has_its_octets() -> None:
    assert len(GOLDEN) == len(list(GOLDEN[0].parent.glob("*.eml"))) > 0
