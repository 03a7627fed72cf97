"""Passwords that can be found again in whatever form they got out."""

import base64
from collections.abc import Iterator
from pathlib import Path


def password(stem: str) -> str:
    """Return a password that needs encoding in a URL; `stem` does not."""
    return f"{stem}/p@ss:w%rd #1"


def forms(stem: str) -> Iterator[bytes]:
    """Yield what to look for: it stays as it is in most encodings, and has three in base64."""
    octets = stem.encode()
    yield octets
    yield octets.hex().encode()
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + octets)
        # The first and the last characters depend on what stands before and after.
        yield encoded[4 if offset else 0 : -4]


def found_in(octets: bytes, stems: tuple[str, ...]) -> set[str]:
    """Return those whose password is in some output."""
    folded = octets.lower()
    return {
        stem
        for stem in stems
        if any(form in octets for form in forms(stem)) or stem.lower().encode() in folded
    }


def files_with(folder: Path, stems: tuple[str, ...]) -> dict[str, set[str]]:
    """Return the files below a folder that hold one, by name."""
    found = {
        str(path): found_in(path.read_bytes(), stems)
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {name: secrets for name, secrets in found.items() if secrets}
