"""What an email consists of: its texts and the files that go with it."""

import mimetypes
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from publisher_lib.fields import (
    NO_CONTROLS,
    NO_CONTROLS_PATTERN,
    Base64Text,
    any_case,
    wrong,
)
from publisher_lib.model import Model

BASE64_PATTERN: Final = "^[A-Za-z0-9+/]*={0,2}$"
_TOKEN: Final = "[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - RFC 2045's token
_QUOTED: Final = r'"[ !#-\[\]-~]*"'
MEDIA_TYPE_PATTERN: Final = rf"^{_TOKEN}/{_TOKEN}(?:; ?{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))*$"
CONTENT_ID_PATTERN: Final = "^[A-Za-z0-9._+-]+(?:@[A-Za-z0-9.-]+)?$"
DENIED_TYPE_PATTERN: Final = f"^(?:{any_case('multipart')}|{any_case('message')})/"
_denied_type: Final = re.compile(DENIED_TYPE_PATTERN)


def check_media_type(value: str) -> str:
    """Refuse the composite types: their bodies may not be base64 (RFC 2046 §5)."""
    if _denied_type.search(value):
        raise wrong("must not be multipart/* or message/*")
    return value


class Content(Model):
    """What the mail says: plain text, HTML, or both (the reader's program chooses)."""

    text: str | None = None
    html: str | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["text"], "properties": {"text": {"type": "string"}}},
                {"required": ["html"], "properties": {"html": {"type": "string"}}},
            ]
        }
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.text is None and self.html is None:
            raise wrong("must have text, html or both")
        return self


class Attachment(Model):
    """A file that goes with the mail; with a `content_id`, an image inside its HTML.

    `content` is base64; bytes given in Python are encoded. HTML refers to a `content_id` of
    `logo` as `cid:logo`.
    """

    filename: Annotated[
        str,
        Field(
            min_length=1,
            max_length=255,
            pattern=NO_CONTROLS_PATTERN.replace("^[^", r"^[^/\\"),
            description="a file name without folders and control characters",
            json_schema_extra=NO_CONTROLS,
        ),
    ]
    content_type: Annotated[
        str,
        Field(
            max_length=200,
            pattern=MEDIA_TYPE_PATTERN,
            description="type/subtype, parameters allowed; not multipart/* nor message/*",
            json_schema_extra={
                "not": {"anyOf": [{"pattern": DENIED_TYPE_PATTERN}, {"pattern": r"\n"}]}
            },
        ),
        AfterValidator(check_media_type),
    ]
    content: Annotated[
        Base64Text,
        Field(
            pattern=BASE64_PATTERN,
            description="the file in base64 with padding",
            json_schema_extra={
                "contentEncoding": "base64",
                "pattern": BASE64_PATTERN,
                "format": "base64",
                "not": {"pattern": r"\n"},
            },
        ),
    ]
    content_id: Annotated[
        str | None,
        Field(
            max_length=200,
            pattern=CONTENT_ID_PATTERN,
            description="letters, digits and . _ + -, optionally followed by @ and a domain",
            json_schema_extra={"not": {"pattern": r"\n"}},
        ),
    ] = None

    # An iterable model would be taken for a list of its fields where a list of these belongs.
    __iter__ = None  # type: ignore[assignment]  # Python's mark of what cannot be iterated

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            filename: str,
            content_type: str,
            content: str | bytes | bytearray,
            content_id: str | None = None,
        ) -> None: ...

    @classmethod
    def from_path(cls, path: str | Path, content_id: str | None = None) -> Self:
        """Read a file; its type is guessed from its name."""
        path = Path(path)
        guessed, encoding = mimetypes.guess_type(path.name)
        media_type = guessed if guessed and not encoding else "application/octet-stream"
        return cls(
            filename=path.name,
            content_type=media_type,
            content=path.read_bytes(),
            content_id=content_id,
        )
