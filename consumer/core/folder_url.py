"""A folder in place of a relay, for development: mail becomes files there."""

from typing import Final
from urllib.parse import unquote

from consumer.core.record import record
from consumer.core.url import split_url

EXPECTED: Final = "expected file:///absolute/path/of/a/folder"


@record
class FolderURL:
    """The folder, by its absolute path. It has no limits."""

    path: str

    @property
    def place(self) -> str:
        """What tells it from a relay."""
        return f"file://{self.path}"

    @property
    def sessions(self) -> int | None:
        """How many sessions of one process it takes: any number."""
        return None

    @property
    def rate(self) -> float | None:
        """How many mails per second it takes: any number."""
        return None

    def __str__(self) -> str:
        return self.place

    @classmethod
    def is_meant(cls, text: str) -> bool:
        """Whether a URL is to be one of these."""
        return text.strip().casefold().startswith("file:")

    @classmethod
    def parse(cls, text: str) -> "FolderURL":
        """Read `file:///absolute/path`. Raises ValueError, which says what is accepted."""
        split = split_url(text.strip(), {"file"}, EXPECTED)
        if split.netloc or split.query or split.fragment:
            raise ValueError(f"neither a host nor options belong to a folder; {EXPECTED}")
        path = unquote(split.path).rstrip("/")
        if not path.startswith("/") or not path.isprintable():
            raise ValueError(f"the path must be absolute and printable; {EXPECTED}")
        return cls(path)
