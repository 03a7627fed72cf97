"""Dead letters as JSON: told, exported, and read back as they were."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.dead_letter import identity, read_dead_letter
from consumer.core.dead_letter_json import Damaged, export_line, import_headers, read_line, told
from consumer.core.delivery import Delivery
from tests.core.test_dead_letter import DIED, FIRST, MOVED, NOW, TRUSTED, delivery, ours, read


def imported(found: Delivery, signer: str | None) -> Delivery:
    """Return a dead letter as it lies in the queue after an export and an import by `signer`."""
    back = read_line(export_line(found))
    return delivery(
        dict(import_headers(back)),
        back.body,
        user_id=signer,
        message_id=back.properties.message_id,
        app_id=back.properties.app_id,
        timestamp_seconds=back.properties.timestamp_seconds,
    )


@given(
    st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_body_survives_an_export(body: bytes) -> None:
    found = replace(ours(), body=body)

    back = read_line(export_line(found))

    assert (back.body, back.lane) == (body, found.lane)
    assert back.properties == found.properties
    assert "\n" not in export_line(found)


@pytest.mark.parametrize(
    ("found", "signer"),
    [
        (ours(), "operator"),
        (delivery(MOVED, user_id="webapp", timestamp_seconds=int(FIRST.timestamp())), "operator"),
        (replace(ours(), properties=replace(ours().properties, user_id="stranger")), None),
        (delivery({}, message_id=None, user_id=None), "operator"),
        *(
            (delivery(MOVED | strange, user_id=None), signer)
            for strange, signer in (
                ({"x-hopmail-detail": {"a": 1}}, "operator"),
                ({"x-hopmail-detail": "y" * 70_000, "x-other": "y" * 70_000}, "operator"),
                ({"x-hopmail-lane": None}, "operator"),
                ({"x-hopmail-lane": "slow"}, "operator"),
                ({"x-published-at-ms": -5}, "operator"),
                ({"x-published-at-ms": {"a": DIED}}, "operator"),
                ({"x-hopmail-reason": "odd"}, None),
                ({"x-hopmail-pending": [7, {"a": DIED}]}, None),
                ({"x-hopmail-replayed-at-ms": {"a": b"b"}}, None),
                ({"x-hopmail-attempt": True}, None),
            )
        ),
    ],
)
def test_an_imported_one_is_the_same_whoever_signs_it(found: Delivery, signer: str | None) -> None:
    trusted = TRUSTED | {"operator"}

    again = imported(found, signer)

    before, after = (read_dead_letter(each, trusted, NOW) for each in (found, again))
    assert identity(again) == identity(found)
    assert replace(after, signer=before.signer, deaths=before.deaths, body=before.body) == before
    assert "x-death" not in again.properties.headers


def damaged(**changed: Any) -> str:
    line = json.loads(export_line(ours())) | changed
    return json.dumps({name: value for name, value in line.items() if value is not ...})


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "no JSON"),
        ("[]", "no format"),
        (damaged(format="v0"), "no format"),
        (damaged(lane="slow"), "no lane 'slow'"),
        (damaged(app_id=7), "app_id is no text"),
        (damaged(app_id="x" * 256), "longer than 255 bytes"),
        (damaged(timestamp="now"), "timestamp"),
        (damaged(headers=None), "headers"),
        (damaged(headers={"x-hopmail-pending": [7]}), "headers"),
        (damaged(headers={"x-hopmail-attempt": 1.5}), "headers"),
        (damaged(headers={"x-hopmail-login": "y" * 70_000}), "headers have more"),
        (damaged(body=7), "neither body"),
        (damaged(body="", body_base64=""), "or both"),
        (damaged(body="\ud800"), "cannot be read"),
        (damaged(body=..., body_base64="?"), "cannot be read"),
        (damaged(body="another"), "was changed"),
        (damaged(id=...), "was changed"),
        (export_line(ours())[:-30], "no JSON"),
    ],
)
def test_a_damaged_line_is_refused_with_what_is_wrong(line: str, wrong: str) -> None:
    with pytest.raises(Damaged, match=wrong):
        read_line(line)


def test_what_is_told_holds_no_body() -> None:
    shown = told(read(ours()), NOW)

    assert shown["reason"] == "refused"
    assert shown["age_seconds"] == timedelta(hours=2).total_seconds()
    assert shown["died_at"] == DIED.isoformat()
    assert shown["body_state"] == "kept"
    assert "body" not in shown
    assert shown["domains"] == ["example.com"]
    assert "Hello" not in json.dumps(shown)
    moved = told(read(delivery(MOVED)), NOW)
    assert json.loads(json.dumps(moved))["deaths"]["email.bulk.v1: delivery_limit"] == 1
    assert "age_seconds" not in told(read(delivery({})), NOW)
