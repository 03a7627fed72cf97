"""What is sealed is opened by its key and in its place, byte by byte, and by nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.core.dead_body import SEALED, SealedBody
from consumer.crypt.seal import CannotOpen, new_keys, seal, unseal

SEALING, OPENING = new_keys()
_OTHER, ANOTHER = new_keys()


@given(st.binary(), st.binary())
def test_it_is_opened_as_it_was(body: bytes, context: bytes) -> None:
    assert unseal(seal(body, context, SEALING), context, [ANOTHER, OPENING]) == body


def test_a_large_one_as_well() -> None:
    body = bytes(range(256)) * 60_000
    sealed = seal(body, b"m", SEALING)

    assert len(sealed) - len(body) < 100
    assert unseal(sealed, b"m", [OPENING]) == body


def test_it_tells_nothing_and_never_the_same_twice() -> None:
    once, again = (seal(b"the token is 123456", b"m", SEALING) for _ in range(2))

    assert once.startswith(SEALED + SEALING.id)
    assert b"123456" not in once
    assert once != again


@given(st.binary(), st.binary())
def test_in_another_context_its_seal_is_broken(one: bytes, other: bytes) -> None:
    sealed = seal(b"body", one, SEALING)
    if one != other:
        with pytest.raises(CannotOpen, match="its seal is broken"):
            unseal(sealed, other, [OPENING])


@settings(max_examples=300)
@given(st.data())
def test_altered_or_cut_off_anywhere_it_stays_closed(data: st.DataObject) -> None:
    sealed = seal(b"body", b"m", SEALING)
    place = data.draw(st.integers(len(SEALED), len(sealed) - 1))
    flipped = bytearray(sealed)
    flipped[place] ^= data.draw(st.integers(1, 255))

    for wrong in (bytes(flipped), sealed[:place]):
        with pytest.raises(CannotOpen):
            unseal(wrong, b"m", [OPENING])


def test_without_its_key_that_is_named() -> None:
    sealed = seal(b"body", b"m", SEALING)

    for keys in ([], [ANOTHER]):
        with pytest.raises(CannotOpen, match=f"the key {SEALING.id.hex()} opens it"):
            unseal(sealed, b"m", keys)


def test_under_the_name_of_another_key_it_stays_closed() -> None:
    sealed = seal(b"body", b"m", SEALING)
    renamed = SealedBody(_OTHER.id, sealed[len(SEALED) + 4 :]).to_bytes()

    with pytest.raises(CannotOpen, match="its seal is broken"):
        unseal(renamed, b"m", [OPENING, ANOTHER])
