"""The model as Python code meets it, beyond what the contract's vectors say."""

import runpy
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError

from publisher_lib import Attachment, Email, schema
from publisher_lib.limits import PART_BYTES, composed_size_bound
from publisher_lib.mailbox import parse_mailbox
from publisher_lib.violations import violations
from tests.publisher.emails import as_mapping


def test_an_attachment_is_read_from_a_file_and_its_type_guessed(tmp_path: Path) -> None:
    logo, packed = tmp_path / "logo.png", tmp_path / "page.html.gz"
    logo.write_bytes(b"\x89PNG")
    packed.write_bytes(b"\x1f\x8b")

    image = Attachment.from_path(logo, content_id="logo")
    archive = Attachment.from_path(str(packed))

    assert image.model_dump() == {
        "filename": "logo.png",
        "content_type": "image/png",
        "content": "iVBORw==",
        "content_id": "logo",
    }
    assert archive.content_type == "application/octet-stream"


def test_a_datetime_needs_a_time_zone() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)

    assert Email.model_validate(as_mapping(send_at=moment)).send_at == moment
    with pytest.raises(ValidationError) as error:
        Email.model_validate(as_mapping(send_at=moment.replace(tzinfo=None)))

    ((pointer, sentence),) = violations(error.value)
    assert pointer == "/send_at"
    assert "time zone" in sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\ud800 <ada@example.org>", "must be addr@domain"),
        ("ada@a\u2500b.example", "no valid internationalised name"),
    ],
)
def test_a_mailbox_that_only_looks_like_one_is_none(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_mailbox(text)


def test_what_is_not_of_the_contracts_types_counts_nothing_towards_the_size() -> None:
    empty = composed_size_bound({})
    odd = {
        "headers": ["x"],
        "subject": 1,
        "cc": {"x": "y"},
        "message": {"text": 5},
        "attachments": ["x", {"content": 5, "filename": 5}],
    }

    assert composed_size_bound(odd) == empty + 3 * PART_BYTES
    assert composed_size_bound({"message": "x", "attachments": "x"}) == empty


def test_the_schema_is_printed_by_its_module(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(schema.__file__, run_name="__main__")

    assert capsys.readouterr().out == schema.schema_text()


@pytest.mark.parametrize(
    "moment",
    [
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=5))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
    ],
)
def test_a_moment_beyond_the_calendar_in_utc_is_refused(moment: datetime) -> None:
    with pytest.raises(ValidationError, match="that exists"):
        Email.model_validate({**as_mapping(), "expires_at": moment})


def test_an_offset_of_odd_seconds_is_written_in_utc() -> None:
    odd = timezone(timedelta(hours=1, seconds=7))
    noon = datetime(2026, 11, 24, 12, 0, tzinfo=odd)
    written = Email.model_validate({**as_mapping(), "send_at": noon}).to_json()

    assert b'"2026-11-24T10:59:53+00:00"' in written
