"""Seals bodies to a key that whoever seals cannot open with: HPKE in its base mode (RFC 9180)."""

from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from consumer.core.dead_body import SealedBody, read_sealed
from consumer.core.seal_keys import OpenKey, SealKey

SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class CannotOpen(Exception):
    """A sealed body stays closed; the text says why, and quotes nothing of it."""


def new_keys() -> tuple[SealKey, OpenKey]:
    """Make a pair of keys."""
    private = X25519PrivateKey.generate()
    return _seal_key(private), OpenKey(private.private_bytes_raw())


def seal(body: bytes, context: bytes, key: SealKey) -> bytes:
    """Return a body that only the other half of `key` opens, and only with the same context."""
    public = X25519PublicKey.from_public_bytes(key.public)
    return SealedBody(key.id, SUITE.encrypt(body, public, info=context)).to_bytes()


def unseal(body: bytes, context: bytes, keys: Iterable[OpenKey]) -> bytes:
    """Return the body that was sealed, byte by byte. Raises CannotOpen."""
    sealed = read_sealed(body)
    for key in keys:
        private = X25519PrivateKey.from_private_bytes(key.private)
        if _seal_key(private).id == sealed.key_id:
            try:
                return SUITE.decrypt(sealed.box, private, info=context)
            except (InvalidTag, ValueError):
                raise CannotOpen(
                    "its seal is broken: it was altered, or taken from another message"
                ) from None
    raise CannotOpen(f"the key {sealed.key_id.hex()} opens it, which is not among those given")


def _seal_key(private: X25519PrivateKey) -> SealKey:
    return SealKey(private.public_key().public_bytes_raw())
