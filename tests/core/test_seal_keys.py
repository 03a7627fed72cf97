"""Keys as text: read back, told apart, and never quoted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.seal_keys import OpenKey, SealKey, read_open_keys, read_seal_key

RAW = st.binary(min_size=32, max_size=32)
SEAL = SealKey(b"s" * 32).to_text()
OPEN = OpenKey(b"o" * 32).to_text()


@given(RAW)
def test_a_key_is_read_back(raw: bytes) -> None:
    assert read_seal_key(SealKey(raw).to_text()) == SealKey(raw)
    assert read_open_keys(OpenKey(raw).to_text()) == (OpenKey(raw),)


def test_keys_have_ids_of_their_own() -> None:
    assert SealKey(b"a" * 32).id != SealKey(b"b" * 32).id


def test_none_may_be_given() -> None:
    assert read_seal_key(" # none yet ") is None
    assert read_open_keys("") == ()


def test_several_open_with_remarks_between_them() -> None:
    other = OpenKey(b"p" * 32).to_text()

    assert read_open_keys(f"# old\n{OPEN}# no line end before\n# {SEAL}\n{other}, {OPEN}\n") == (
        OpenKey(b"o" * 32),
        OpenKey(b"p" * 32),
        OpenKey(b"o" * 32),
    )


def altered(text: str) -> str:
    return text[:-9] + ("A" if text[-9] != "A" else "B") + text[-8:]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OPEN, "is a key that opens: who seals must not have it"),
        (f"{SEAL} {SEAL}", "must be one key"),
        ("correct-horse", "must be hopmail-seal-…; `hopmail deadletters keygen FILE` makes one"),
        (altered(SEAL), "is damaged"),
        (SEAL[:-4], "is damaged"),
        (f"{SEAL[:-1]}!", "is damaged"),
        (SealKey(b"short").to_text(), "is damaged"),
    ],
)
def test_what_is_no_key_to_seal_is_refused_unquoted(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        read_seal_key(text)

    assert text not in str(raised.value)


def test_a_key_that_seals_opens_nothing() -> None:
    with pytest.raises(ValueError, match="must be hopmail-open-…"):
        read_open_keys(SEAL)


def test_a_key_that_opens_is_not_shown() -> None:
    assert repr(OpenKey(b"o" * 32)) == "OpenKey()"
