"""What callers get wrong is named with its field and cure, and never quoted."""

import inspect
import pydoc
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from publisher_lib import Attachment, Content, Email, InvalidEmail, Publisher, PublishError
from publisher_lib.violations import violations
from tests.publisher.emails import SECRET, as_mapping, email

ATTACHED = {"filename": "a.txt", "content_type": "text/plain", "content": "QQ=="}
A_CONTENT = "must be Content(text=…, html=…), or a mapping of these"
AN_ATTACHMENT = "must be an Attachment; Attachment.from_path(…) makes one of a file"


def publisher() -> Any:
    """Return one that connects nowhere; untyped, as callers make mistakes in untyped code."""
    return Publisher("amqp://nobody:pw@127.0.0.1:1/")


@pytest.mark.parametrize(
    ("make", "pointers"),
    [
        (lambda: Email(**as_mapping(subject=f"{SECRET}\n", to=SECRET)), {"/subject", "/to"}),
        (lambda: Email(**as_mapping(message=f'<a href="?{SECRET}">')), {"/message"}),
        (Content, {""}),
        (lambda: Content(html=cast("Any", SECRET.encode())), {"/html"}),
        (lambda: Attachment(**{**ATTACHED, "filename": f"/{SECRET}"}), {"/filename"}),
    ],
)
def test_constructors_raise_invalid_email_without_the_values(
    make: Callable[[], object], pointers: set[str]
) -> None:
    with pytest.raises(PublishError) as refusal:
        make()

    error = refusal.value
    assert isinstance(error, InvalidEmail)
    assert error.__context__ is None
    assert error.__cause__ is None
    assert {pointer for pointer, _sentence in error.violations} == pointers
    assert SECRET not in str(error)


def test_validation_still_raises_pydantics_error_with_the_places_of_all_parts() -> None:
    wrong = as_mapping(message={"text": 1}, attachments=[ATTACHED, {**ATTACHED, "filename": ""}])

    with pytest.raises(ValidationError) as refusal:
        Email.model_validate(wrong)

    assert {pointer for pointer, _sentence in violations(refusal.value)} == {
        "/message/text",
        "/attachments/1/filename",
    }


def test_pydantic_builds_parts_without_calling_their_constructors() -> None:
    def custom_inits(node: Any) -> list[object]:
        inner = node.values() if isinstance(node, dict) else node
        found = [node["custom_init"]] if isinstance(node, dict) and node.get("custom_init") else []
        if not isinstance(inner, str) and hasattr(inner, "__iter__"):
            for child in inner:
                found += custom_inits(child) if isinstance(child, dict | list | tuple) else []
        return found

    for model in (Email, Content, Attachment):
        assert not model.__pydantic_custom_init__
        assert custom_inits(model.__pydantic_core_schema__) == []


def test_pydantics_own_error_does_not_print_what_it_was_given() -> None:
    with pytest.raises(ValidationError) as refusal:
        Email.model_validate(as_mapping(subject=f"{SECRET}\n", message={"text": [SECRET]}))

    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("to", "email_to"),
        ("from_", "email_from"),
        ("from", "email_from"),
        ("sender", "email_from"),
        ("text", "message=Content(text=…)"),
        ("html", "message=Content(html=…)"),
        ("body", "message=Content(text=…)"),
    ],
)
def test_a_field_by_the_name_that_send_gives_it_is_told_its_own(name: str, meant: str) -> None:
    with pytest.raises(InvalidEmail) as refusal:
        Email(**as_mapping(**{name: "x"}))

    assert refusal.value.violations == (
        (f"/{name}", f"is no field of the contract; did you mean {meant}?"),
    )


@pytest.mark.parametrize(
    ("changes", "pointer", "known"),
    [
        ({"color": 1}, "/color", ", ".join(Email.model_fields)),
        ({"message": {"text": "x", "to": 1}}, "/message/to", "text, html"),
        (
            {"attachments": [{**ATTACHED, "path": "x"}]},
            "/attachments/0/path",
            "filename, content_type, content, content_id",
        ),
    ],
)
def test_a_field_of_no_known_name_is_told_which_there_are(
    changes: dict[str, Any], pointer: str, known: str
) -> None:
    with pytest.raises(InvalidEmail) as refusal:
        Email(**as_mapping(**changes))

    assert refusal.value.violations == (
        (pointer, f"is no field of the contract; known here: {known}"),
    )


def test_a_wrong_field_of_a_part_is_told_the_parts_own() -> None:
    with pytest.raises(InvalidEmail, match="/to: is no field of the contract; known here: text,"):
        Content(text="x", to="x")  # type: ignore[call-arg]  # the mistake


@pytest.mark.parametrize(
    ("changes", "violation"),
    [
        ({"subject": ""}, ("/subject", "must not be empty")),
        ({"subject": "x" * 999}, ("/subject", "must have at most 998 characters")),
        ({"subject": 5}, ("/subject", "must be a string")),
        ({"subject": "\ud800"}, ("/subject", "must not have lone surrogates")),
        ({"message": {"text": b"x"}}, ("/message/text", "must be a string")),
        ({"message": "Hello"}, ("/message", A_CONTENT)),
        ({"if_uncertain": "x"}, ("/if_uncertain", "must be 'resend' or 'hold'")),
        ({"attachments": Attachment(**ATTACHED)}, ("/attachments", "must be a list of Attachment")),
        ({"attachments": "a.pdf"}, ("/attachments", "must be a list of Attachment")),
        ({"attachments": ["a.pdf"]}, ("/attachments/0", AN_ATTACHMENT)),
        ({"attachments": [Path("a.pdf")]}, ("/attachments/0", AN_ATTACHMENT)),
        ({"attachments": [b"%PDF"]}, ("/attachments/0", AN_ATTACHMENT)),
        ({"attachments": [ATTACHED] * 51}, ("/attachments", "must have at most 50 entries")),
        (
            {"attachments": [{**ATTACHED, "content": 5}]},
            ("/attachments/0/content", "must be bytes, or a string in base64"),
        ),
        ({"email_to": "a@x, b@x"}, ("/email_to", 'must be one mailbox, or a list: ["…", "…"]')),
        ({"cc": "A <a@x>; B <b@x>"}, ("/cc", 'must be one mailbox, or a list: ["…", "…"]')),
        ({"cc": "a@x,"}, ("/cc", "must be addr@domain or Display Name <addr@domain>")),
    ],
)
def test_a_value_of_the_wrong_form_is_told_the_right_one(
    changes: dict[str, Any], violation: tuple[str, str]
) -> None:
    with pytest.raises(InvalidEmail) as refusal:
        Email(**as_mapping(**changes))

    assert refusal.value.violations == (violation,)


@pytest.mark.parametrize("no_email", ["Hello", [as_mapping()], None])
def test_what_is_no_email_at_all_is_told_so(no_email: object) -> None:
    with pytest.raises(InvalidEmail) as refusal:
        publisher().publish(no_email)

    assert refusal.value.violations == (("", "must be an Email, or a mapping of its fields"),)


def test_attachments_take_bytes_and_files(tmp_path: Path) -> None:
    (tmp_path / "a\nb").write_bytes(b"A")

    attached = Attachment(filename="a.txt", content_type="text/plain", content=b"A")
    made = Email(
        email_to="ada@example.org",
        email_from="app@example.org",
        subject="Invoice",
        message=Content(text="See attachment"),
        attachments=[attached],
    )

    assert attached.model_dump(exclude_none=True) == ATTACHED
    assert made.attachments == (attached,)
    with pytest.raises(InvalidEmail, match="/filename"):
        Attachment.from_path(tmp_path / "a\nb")


@pytest.mark.parametrize(
    ("timeout", "sentence"),
    [
        (5, r"timeout must be a timedelta: timedelta\(seconds=5\)"),
        (0.5, r"timeout must be a timedelta: timedelta\(seconds=0.5\)"),
        ("5", r"timeout must be a timedelta: timedelta\(seconds=…\)"),
    ],
)
def test_a_timeout_that_is_no_timedelta_is_refused_everywhere(
    timeout: object, sentence: str
) -> None:
    parts = {"to": "a@b.c", "from_": "a@b.c", "subject": "s", "text": "t"}

    for call in (
        lambda: Publisher("amqp://a:b@h/", timeout=cast("timedelta", timeout)),
        lambda: publisher().publish(email(), timeout=timeout),
        lambda: publisher().publish_nowait(email(), timeout=timeout),
        lambda: publisher().publish_many([email()], timeout=timeout),
        lambda: publisher().send(**parts, timeout=timeout),
        lambda: publisher().close(timeout),
    ):
        with pytest.raises(TypeError, match=f"^{sentence}$"):
            call()


@pytest.mark.parametrize("message_id", [4711, b"m-1"])
def test_a_message_id_that_is_no_string_is_refused(message_id: object) -> None:
    with pytest.raises(InvalidEmail) as refusal:
        publisher().publish(email(), message_id=message_id)

    assert refusal.value.violations == (
        ("properties.message_id", "must be a string; str(…) makes one of a number or UUID"),
    )


def test_a_trace_that_is_no_string_is_refused() -> None:
    with pytest.raises(InvalidEmail, match="W3C Trace Context"):
        publisher().publish(email(), traceparent=b"00-xyz")


@pytest.mark.parametrize("url", [None, "", (), [None], [""], b"amqp://a:b@h/"])
def test_a_missing_url_is_named(url: object) -> None:
    with pytest.raises(ValueError, match="amqp://login:password@host:5672/vhost") as refusal:
        Publisher(cast("str", url))

    missing = "the broker's URL is missing" in str(refusal.value)
    assert missing == (not isinstance(url, bytes))


def test_an_app_id_that_is_no_string_is_refused() -> None:
    with pytest.raises(ValueError, match="app_id must be a string of 1 to 255 bytes"):
        Publisher("amqp://a:b@h/", app_id=cast("str", 5))


@pytest.mark.parametrize("one", [email(), as_mapping(), "Hello", b"Hello"])
def test_publish_many_takes_no_single_email(one: object) -> None:
    with pytest.raises(TypeError, match="takes several emails, in a list; publish takes one"):
        publisher().publish_many(one)


def test_publish_many_takes_no_single_message_id() -> None:
    with pytest.raises(TypeError, match="message_ids must be a list of one for each email"):
        publisher().publish_many([email(), email()], message_ids="ab")


@pytest.mark.parametrize("model", [Email, Content, Attachment])
def test_the_help_on_a_model_shows_its_constructor_in_short(model: type[Email]) -> None:
    shown = pydoc.plain(pydoc.render_doc(model))

    parameters = inspect.signature(model).parameters
    assert list(parameters) == list(model.model_fields)
    assert {name for name, given in parameters.items() if given.default is given.empty} == {
        name for name, field in model.model_fields.items() if field.is_required()
    }
    assert max(len(line) for line in shown.splitlines() if f" {model.__name__}(" in line) < 900
    assert "PlainValidator" not in shown
