"""The line of a handled delivery: what it tells, and what it must never tell."""

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from consumer.core.handled import Handled
from consumer.core.outcome import Accepted, InDoubt, Refused, Reply, Stage, Unreachable
from consumer.core.transaction import Transaction
from consumer.ops import logs
from consumer.ops.handled import log_handled
from consumer.ops.mask import mask, mask_addresses, mask_quotations
from publisher_lib.routing import Lane
from tests.ops.deliveries import CC, EMAIL, SECRETS, TO, every_outcome, handled
from tests.ops.output import Output

pytestmark = pytest.mark.usefixtures("restored_logging")

LATER = Reply(451, "4.7.1", "greylisted")
NEVER = Reply(550, "5.1.1", "no such user")


def line_of(output: Output, record: Handled) -> dict[str, Any]:
    logs.configure("INFO", "json", 3)
    log_handled(record)
    return output.event()


def test_an_accepted_delivery_is_told_with_its_times(output: Output) -> None:
    line = line_of(output, handled(Accepted(Reply(250, "2.0.0", "queued as 4XyZ")), lane=Lane.BULK))

    assert line.pop("timestamp").endswith("Z")
    assert line.pop("duration_seconds") >= 0
    assert line == {
        "level": "INFO",
        "event": "handled",
        "logger": "consumer.ops.handled",
        "worker": 3,
        "message_id": "m-1",
        "lane": "bulk",
        "attempt": 1,
        "app_id": "shop",
        "disposition": "ack",
        "outcome": "accepted",
        "stage": "END_OF_DATA",
        "code": 250,
        "enhanced": "2.0.0",
        "text": "queued as 4XyZ",
        "recipients": 2,
        "to": ["a***@example.org", "g***@example.net"],
        "latency_seconds": 12.5,
    }


def test_the_line_says_how_often_a_person_had_it_sent_again(output: Output) -> None:
    record = replace(handled(Accepted(Reply(250))), replayed=2)

    assert line_of(output, record)["replayed"] == 2


def test_the_line_says_which_relay_answered(output: Output) -> None:
    down = Transaction("first:25", Unreachable(Stage.CONNECT, "down"), None)
    taken = Transaction("second:25", Accepted(Reply(250)), 0.1)

    line = line_of(output, replace(handled(Accepted(Reply(250))), transactions=(down, taken)))

    assert line["relay"] == "second:25"


@pytest.mark.parametrize(
    ("record", "level", "told"),
    [
        (
            handled(Refused(Stage.RCPT, LATER)),
            "WARNING",
            {"disposition": "retry", "delay_seconds": 30.0, "stage": "RCPT", "code": 451},
        ),
        (
            handled(Refused(Stage.RCPT, NEVER)),
            "WARNING",
            {"disposition": "dead_letter", "reason": "refused", "code": 550},
        ),
        (
            handled(Unreachable(Stage.CONNECT, "down")),
            "INFO",
            {"disposition": "pause", "text": "down"},
        ),
        (
            handled(InDoubt("lost"), body=EMAIL | {"if_uncertain": "hold"}),
            "ERROR",
            {"reason": "in_doubt"},
        ),
        (
            handled(body=EMAIL | {"send_at": "2026-11-24T13:00:00Z"}),
            "INFO",
            {"disposition": "retry", "outcome": "not_due"},
        ),
        (
            handled(body=EMAIL | {"expires_at": "2026-11-24T11:00:00Z"}),
            "WARNING",
            {"reason": "expired"},
        ),
        (
            handled(body=EMAIL | {"subject": 1, "x": 2}),
            "WARNING",
            {"reason": "invalid", "fields": ["subject"]},
        ),
        (
            handled(type="other"),
            "WARNING",
            {"reason": "unsupported_type", "fields": ["properties.type"]},
        ),
    ],
    ids=lambda value: "" if isinstance(value, Handled) else None,
)
def test_the_level_says_how_much_is_amiss(
    output: Output, record: Handled, level: str, told: dict[str, Any]
) -> None:
    line = line_of(output, record)

    assert line["level"] == level
    assert told == {name: line.get(name) for name in told}


def test_recipients_who_fared_differently_are_told_one_by_one_under_the_worst(
    output: Output,
) -> None:
    line = line_of(output, handled(Accepted(Reply(250, "", "ok")), Refused(Stage.RCPT, NEVER)))

    assert (line["disposition"], line["recipients"], line["level"]) == ("dead_letter", 2, "WARNING")
    assert line["verdicts"] == [
        {
            "disposition": "ack",
            "outcome": "accepted",
            "stage": "END_OF_DATA",
            "code": 250,
            "text": "ok",
            "recipients": 1,
        },
        {
            "disposition": "dead_letter",
            "outcome": "refused",
            "reason": "refused",
            "stage": "RCPT",
            "code": 550,
            "enhanced": "5.1.1",
            "text": "no such user",
            "recipients": 1,
        },
    ]


def test_a_trace_is_told_only_where_it_is_one(output: Output) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    line = line_of(output, handled(Accepted(Reply(250)), headers={"traceparent": trace}))

    assert line["traceparent"] == trace


def test_what_is_no_trace_is_not_told(output: Output) -> None:
    line = line_of(output, handled(Accepted(Reply(250)), headers={"traceparent": "Secretbody"}))

    assert "traceparent" not in line


@pytest.mark.parametrize("form", ["json", "human"])
@pytest.mark.parametrize("record", list(every_outcome()), ids=lambda _record: "")
def test_no_line_tells_body_subject_address_or_name(
    output: Output, form: Any, record: Handled
) -> None:
    logs.configure("DEBUG", form, 0)

    log_handled(record)

    line = output.line()
    assert "handled" in line
    assert not [secret for secret in SECRETS if secret.casefold() in line.casefold()]


@pytest.mark.parametrize(
    "outcome",
    [
        Refused(Stage.END_OF_DATA, Reply(554, "5.7.1", "spam: code=4711-Ab")),
        Unreachable(Stage.DATA, "spam: code=4711-Ab"),
        InDoubt("spam: code=4711-Ab"),
    ],
)
def test_a_code_that_a_relay_repeats_without_quotes_is_masked(
    output: Output, outcome: Refused | Unreachable | InDoubt
) -> None:
    body = EMAIL | {"message": {"text": "Your code is 4711-Ab."}}

    taken = Accepted(Reply(250, "2.0.0", "queued as 4XyZ"))

    line = line_of(output, handled(taken, outcome, body=body))

    assert line["text"].endswith("spam: code=…")
    assert [each["text"] for each in line["verdicts"]] == ["queued as 4XyZ", "spam: code=…"]


@pytest.mark.parametrize("record", list(every_outcome()), ids=lambda _record: "")
def test_a_line_for_a_person_tells_the_same(output: Output, record: Handled) -> None:
    told = line_of(output, record)
    logs.configure("INFO", "human", 3)
    log_handled(record)

    words = output.text.splitlines()[1]
    for name in ("timestamp", "level", "event"):
        told.pop(name)
    for name, value in told.items():
        assert f" {name}={value if isinstance(value, str) else json.dumps(value)}" in words


def test_a_level_that_is_off_costs_nothing(output: Output) -> None:
    logs.configure("WARNING", "json", 0)

    log_handled(handled(Accepted(Reply(250))))

    assert output.text == ""


def test_a_line_names_three_recipients_at_most(output: Output) -> None:
    many = [f"user{n}@example.org" for n in range(9)]
    record = handled(body=EMAIL | {"email_to": many, "expires_at": "2026-11-24T11:00:00Z"})

    line = line_of(output, record)

    assert (line["recipients"], line["to"]) == (10, ["u***@example.org"] * 3)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (TO, "a***@example.org"),
        ('"secret name"@example.org', "s***@example.org"),
        ("ü@bücher.example", "ü***@bücher.example"),
        ("no-domain", "***@no-domain"),
    ],
)
def test_an_address_keeps_its_first_character_and_domain(address: str, expected: str) -> None:
    assert mask(address) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"<{TO}>: no such user",
        f"user {TO} unknown",
        f"https://relay.example/?mail=ada.lovelace%40example.org {CC}",
        '"ada.lovelace"@example.org is unknown',
        "ada.lovelace: unknown user",
        "ADA.LOVELACE is over quota",
        "bounce+ada.lovelace=example.org@relay.example",
    ],
)
def test_a_relay_s_echo_is_masked(text: str) -> None:
    masked = mask_addresses(text, (TO, CC)).casefold()

    assert "lovelace" not in masked
    assert "hopper" not in masked


def test_other_words_of_the_relay_stay() -> None:
    text = "4.2.2 mailbox full, try again in 300 s (see https://relay.example/full)"

    assert text == mask_addresses(text, ("me@example.org",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'spam: https://shop.example/reset?token=TOKEN123 subject "Reset your password"',
            'spam: https://shop.example/… subject "…"',
        ),
        ("see https://ada:TOKEN123@shop.example:8443/reset.", "see https://shop.example/…"),
        ("see <https://shop.example/reset#TOKEN123>, twice", "see <https://shop.example/… twice"),
        ("HTTPS://[::1]/TOKEN123", "HTTPS:///…"),
        ("url shop.example/reset?token=TOKEN123 is listed", "url shop.example/… is listed"),
        ("mailto:a@shop.example?subject=Reset", "mailto:a***@shop.example/…"),
        ("subject 'Reset the user's password' is spam", 'subject "…" is spam'),
        ("Betreff «Reset», „Reset“, »Reset« und “Reset”: nein", 'Betreff "…": nein'),
        ("Subject:`Reset' refused", 'Subject:"…" refused'),
        ('She said "Reset "your" password" twice', 'She said "…" twice'),
        ('subject "Reset" and then "Reset your pass', 'subject "…" and then "…"'),
        ("subject 'Reset your pass", 'subject "…"'),
        ("subject «Reset your pass", 'subject "…"'),
        ('"https://shop.example/?t=TOKEN123" and "Reset"', '"…"'),
        ("the user's mailbox isn't there", "the user's mailbox isn't there"),
        (
            "4.7.1 greylisted, try and/or wait 300 s: see",
            "4.7.1 greylisted, try and/or wait 300 s: see",
        ),
        ("", ""),
    ],
)
def test_what_a_relay_quotes_of_a_message_is_masked(text: str, expected: str) -> None:
    assert expected == mask_quotations(text)


def test_a_handled_line_takes_part_in_the_logging_tree(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    log_handled(handled(Accepted(Reply(250))))

    assert [record.getMessage() for record in caplog.records] == ["handled"]
