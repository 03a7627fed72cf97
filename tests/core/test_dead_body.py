"""What a dead letter's body is, told by itself."""

import json

from hypothesis import given
from hypothesis import strategies as st

from consumer.core.contract import parse_valid
from consumer.core.dead_body import (
    OUTLINED,
    SEALED,
    BodyState,
    SealedBody,
    context,
    read_sealed,
    state_of,
)
from consumer.core.decode import decode
from consumer.core.delivery import Properties
from consumer.core.outcome import Defect, Undecodable


@given(st.binary(min_size=4, max_size=4), st.binary())
def test_a_sealed_body_is_read_back(key_id: bytes, box: bytes) -> None:
    body = SealedBody(key_id, box).to_bytes()

    assert state_of(body) is BodyState.ENCRYPTED
    assert read_sealed(body) == SealedBody(key_id, box)
    assert parse_valid(body) is None


def test_what_is_neither_sealed_nor_an_outline_was_kept() -> None:
    assert state_of(b'{"email_to": "ada@example.org"}') is BodyState.KEPT
    assert state_of(b"") is BodyState.KEPT
    assert state_of(OUTLINED + b'"bytes":2}') is BodyState.REDACTED


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_no_two_messages_have_one_context(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (context(*one) == context(*other)) == (one == other)


def test_a_message_without_id_or_login_has_a_context_too() -> None:
    assert context(None, None) == context("", "")
    assert json.loads(context(None, "shop")) == ["hopmail-sealed-1", "", "shop"]


def test_put_back_into_its_lane_such_a_body_says_why_it_cannot_be_read() -> None:
    properties = Properties(message_id="m-1", type="email.v1")
    for body, word in ((SEALED + b"1234box", "encrypted"), (OUTLINED + b"}", "redacted")):
        found = decode(properties, body)

        assert isinstance(found, Undecodable)
        assert found.defect is Defect.UNSUPPORTED_CONTENT
        assert f"the body is {word}: only `hopmail deadletters`" in found.violations[0].message
