"""`hopmail validate`: each breach of the contract, and its cure."""

import json
from pathlib import Path
from typing import Any

import pytest

from consumer.cli import reading
from consumer.core.contract import parse
from consumer.core.contract_cure import EXAMPLES, cure
from consumer.core.outcome import Defect, Undecodable, Violation
from publisher_lib.message import Attachment, Content, Email
from tests.cli.inside import inside

GOOD: dict[str, Any] = {
    "email_to": ["ada@example.org", "grace@example.org"],
    "email_from": "app@example.org",
    "subject": "Hello",
    "message": {"text": "Hello"},
}


def written(folder: Path, name: str, content: object) -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_good_ones_pass_without_any_settings(tmp_path: Path) -> None:
    files = [written(tmp_path, name, GOOD) for name in ("a.json", "b.json")]

    ended = inside("validate", *files)

    told = [f"✓ {file}: email.v1, to 2 recipients" for file in files]
    assert (ended.returncode, ended.stdout.splitlines()) == (0, told)


def test_of_what_no_field_knows_there_is_no_cure() -> None:
    breach = Violation("/odd", "must not be here")

    assert cure(Undecodable(Defect.INVALID, (breach,)), breach, b"{}") == ""


def test_each_breach_is_told_with_its_cure(tmp_path: Path) -> None:
    bad = {"to": "a@b.example", "email_from": "a b", "message": {"text": "x"}, "mesage": 1}
    file = written(tmp_path, "bad.json", bad)

    ended = inside("validate", file, written(tmp_path, "good.json", GOOD))

    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert lines[0] == f"✗ {file}: invalid"
    assert lines[-1].startswith("✓ ")
    told = dict(zip(lines[1:-1:2], lines[2:-1:2], strict=True))
    cures = {line.split()[0]: told[line].strip() for line in told}
    mailbox = '"email_from": "My App <noreply@example.org>"'
    ada = '"email_to": "Ada Lovelace <ada@example.org>"'
    assert cures == {
        "/to": f"→ write {ada} in its place, or remove it",
        "/mesage": '→ write "message": {"text": "Open https://…"} in its place, or remove it',
        "/email_from": f"→ write it as {mailbox}",
        "/email_to": f"→ add {ada}",
        "/subject": '→ add "subject": "Confirm your address"',
    }
    assert "a@b.example" not in ended.stdout


def test_scripts_get_json(tmp_path: Path) -> None:
    broken, missing = written(tmp_path, "broken.json", "{"), str(tmp_path / "none")

    ended = inside("validate", "--json", broken, missing, written(tmp_path, "good.json", GOOD))

    assert ended.returncode == 1
    first, second, third = json.loads(ended.stdout)
    assert (first["valid"], first["defect"]) == (False, "invalid_json")
    assert first["violations"][0]["pointer"] == ""
    assert "json.tool" in first["violations"][0]["cure"]
    assert second == {"file": missing, "valid": False, "error": "No such file or directory"}
    assert (third["valid"], third["recipients"]) == (True, 2)


def test_one_comes_from_stdin() -> None:
    ended = inside("validate", "-", stdin=json.dumps(GOOD))

    assert (ended.returncode, ended.stdout) == (0, "✓ -: email.v1, to 2 recipients\n")


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"\xef\xbb\xbf{}", "without a byte order mark"),
        ("{}".encode("utf-16"), "it is UTF-16"),
        (b" \n", "it is empty"),
        ('{"subject": "café"}'.encode("latin-1"), "save it as UTF-8"),
        (json.dumps(GOOD).encode() + b"\n" + json.dumps(GOOD).encode(), "`split -l 1 FILE`"),
        (b"{\n}\n}", "json.tool"),
        (b"{" + b"\xc3\xa9" * 9, "json.tool"),
        (b"[" * 100_000, "json.tool"),
        (b"[" * 100_000 + b"\n{}", "json.tool"),
    ],
)
def test_what_is_no_json_is_told_what_it_is(octets: bytes, told: str) -> None:
    ended = inside("validate", "-", stdin=octets)

    assert ended.returncode == 1
    first, second, third = ended.stdout.splitlines()
    assert first == "✗ -: invalid_json"
    assert second.startswith("  the email is no JSON: ")
    assert told in third


def test_of_a_field_given_twice_it_is_told_which_counts(tmp_path: Path) -> None:
    twice = json.dumps(GOOD)[:-1] + ', "subject": "Bye", "message": {"text": "a", "text": "b"}}'
    file = written(tmp_path, "twice.json", twice)

    ended = inside("validate", file)

    assert (ended.returncode, ended.stdout.splitlines()) == (
        0,
        [
            f"✓ {file}: email.v1, to 2 recipients",
            "  text is given twice: the last one counts",
            "  subject is given twice: the last one counts",
            "  message is given twice: the last one counts",
        ],
    )
    (told,) = json.loads(inside("validate", "--json", file).stdout)
    assert told["given_twice"] == ["text", "subject", "message"]
    email = parse(twice.encode())
    assert isinstance(email, Email)
    assert (email.subject, email.message.text) == ("Bye", "b")


def test_what_has_no_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGEST_BYTES", 1000)

    for arguments in (("validate", "/dev/zero"), ("send", "--file", "/dev/zero")):
        ended = inside(*arguments)

        assert ended.returncode == 1
        assert "File too large" in ended.stdout + ended.stderr


def test_an_example_of_each_field_keeps_the_contract() -> None:
    fields = {*Email.model_fields, *Content.model_fields, *Attachment.model_fields}
    whole = {name: EXAMPLES[name] for name in Email.model_fields}
    (attachment,) = whole["attachments"]
    whole["attachments"] = [attachment | {n: EXAMPLES[n] for n in Attachment.model_fields}]
    whole["message"] = {name: EXAMPLES[name] for name in Content.model_fields}

    assert set(EXAMPLES) == fields
    assert isinstance(parse(json.dumps(whole).encode()), Email)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"email_to": [1]}, "write it as"),
        ({"attachments": [{"content": "x"}]}, "add"),
        ({"headers": {"Subject": "x"}}, "write it as"),
        ({"message": {"txt": "x"}}, 'write "text"'),
        ({"unheard_of": 1}, "remove it; a header field of your own goes into `headers`"),
    ],
)
def test_a_breach_in_depth_has_its_cure_too(change: dict[str, Any], told: str) -> None:
    found = parse(json.dumps(GOOD | change).encode())

    assert isinstance(found, Undecodable)
    assert any(cure(found, each, b"{}").startswith(told) for each in found.violations)


def test_too_large_a_one_says_itself_what_to_do() -> None:
    found = parse(json.dumps(GOOD | {"message": {"text": "x" * 12_000_000}}).encode())

    assert isinstance(found, Undecodable)
    assert [cure(found, each, b"{}") for each in found.violations if not each.pointer] == [""]
