"""Reads a message's body, and explains in the contract's terms why it is no email."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker, validators
from pydantic import ValidationError
from pydantic_core import PydanticCustomError, from_json

from consumer.core.outcome import Defect, Undecodable, Violation
from publisher_lib.fields import check_base64, check_instant, check_mailbox
from publisher_lib.limits import (
    MAX_COMPOSED_BYTES,
    MAX_RECIPIENTS,
    composed_size_bound,
    count_recipients,
    recipients_message,
    size_message,
)
from publisher_lib.message import Attachment, Content, Email
from publisher_lib.schema import email_v1_schema
from publisher_lib.violations import violations

MAX_BODY_BYTES: Final = 15_000_000
"""No email within the size limit is larger as JSON; a larger body is not even parsed."""

MAX_VIOLATIONS: Final = 20
LONGEST_EXPLAINED: Final = MAX_RECIPIENTS + 1
DEEPEST_EXPLAINED: Final = 3
"""`/attachments/0/content` is as deep as the contract goes."""

FIELDS: Final = frozenset({*Email.model_fields, *Attachment.model_fields, *Content.model_fields})

MAX_POINTER: Final = 200
MAX_MESSAGE: Final = 300

NAMES: Final = {
    "string": "a string",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def parse(body: bytes) -> Email | Undecodable:
    """Return the email of a message's body, or every way in which it breaks the contract."""
    if len(body) > MAX_BODY_BYTES:
        text = f"the body has {len(body)} bytes, at most {MAX_BODY_BYTES}"
        return Undecodable(Defect.TOO_LARGE, (Violation("", text),))
    try:
        return Email.model_validate_json(body)
    except ValidationError as error:
        return _explain(body, error)


def parse_valid(body: bytes) -> Email | None:
    """Return the email of a message's body; None when it breaks the contract."""
    if len(body) > MAX_BODY_BYTES:
        return None
    try:
        return Email.model_validate_json(body)
    except ValidationError:
        return None


def breaches(data: object) -> tuple[Violation, ...]:
    """Return how a body, already read from JSON, breaks the schema; empty if it does not."""
    found: dict[str, str] = {}
    for message in _beyond_the_schema(data):
        found.setdefault("", message)
    errors = _validator().iter_errors(_shortened(data))
    for error in sorted(errors, key=lambda error: error.validator != "type"):
        for pointer, message in _sentences(error):
            found.setdefault(pointer[:MAX_POINTER], message[:MAX_MESSAGE])
    return tuple(Violation(*pair) for pair in found.items())[:MAX_VIOLATIONS]


def _explain(body: bytes, error: ValidationError) -> Undecodable:
    kind, message = _alone(error)
    if kind == "json_invalid":
        return Undecodable(Defect.INVALID_JSON, (Violation("", message),))
    found = breaches(from_json(body)) or tuple(Violation(*pair) for pair in violations(error))
    return Undecodable(Defect.TOO_LARGE if kind == "too_large" else Defect.INVALID, found)


def _alone(error: ValidationError) -> tuple[str, str]:
    """Return the type and the message of the one thing that is wrong; of several nothing.

    A small body may hold a million errors, and no list of them is made here.
    """
    if error.error_count() > 1:
        return "", ""
    (details,) = error.errors(include_url=False, include_input=False)
    # The JSON parser's message names the place only: "expected `,` or `}` at line 1 column 9".
    return details["type"], details["msg"][:MAX_MESSAGE]


def _beyond_the_schema(data: object) -> Iterator[str]:
    """Yield the breaches of what the schema states by keywords of its own."""
    if isinstance(data, dict):
        if (count := count_recipients(data)) > MAX_RECIPIENTS:
            yield recipients_message(count)
        if (bound := composed_size_bound(data)) > MAX_COMPOSED_BYTES:
            yield size_message(bound)


def _shortened(node: Any, depth: int = 0) -> Any:
    """Return what can be explained of `node`: longer than the contract's longest list by one.

    jsonschema makes every error at once, at some kilobytes each: two megabytes of zeros in a
    list would take gigabytes.
    """
    if depth > DEEPEST_EXPLAINED:
        return type(node)() if isinstance(node, dict | list) else node
    if isinstance(node, dict):
        names = sorted(node, key=lambda name: name not in FIELDS)[:LONGEST_EXPLAINED]
        return {name: _shortened(node[name], depth + 1) for name in names}
    if isinstance(node, list):
        return [_shortened(item, depth + 1) for item in node[:LONGEST_EXPLAINED]]
    return node


@cache
def _validator() -> Any:
    bounded = validators.extend(  # type: ignore[no-untyped-call]  # its stubs leave it untyped
        Draft202012Validator, {"pattern": _pattern_within_length}
    )
    return bounded(email_v1_schema(), format_checker=_formats())


def _pattern_within_length(validator: Any, pattern: str, instance: Any, schema: Any) -> Any:
    """Match only what is not too long anyway.

    Python's `re` keeps a state for each turn of a repeated group: 14 megabytes of `a.` for a
    mailbox took 1.3 gigabytes.
    """
    if isinstance(instance, str) and len(instance) > schema.get("maxLength", len(instance)):
        return ()
    return Draft202012Validator.VALIDATORS["pattern"](validator, pattern, instance, schema)


def _formats() -> FormatChecker:
    checker = FormatChecker(formats=())
    for name, check in (
        ("idn-email", check_mailbox),
        ("date-time", check_instant),
        ("base64", check_base64),
    ):
        checker.checks(name, raises=PydanticCustomError)(_applied_to_strings(check))
    return checker


def _applied_to_strings(check: Any) -> Any:
    def conforms(value: object) -> bool:
        if isinstance(value, str):
            check(value)
        return True

    return conforms


def _sentences(error: Any) -> Iterator[tuple[str, str]]:
    """Turn one schema error into (pointer, sentence) pairs that quote nothing of the contents."""
    path = _pointer(error.absolute_path)
    if error.validator == "anyOf" and error.context:
        yield from _branch(error, path)
    elif error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield _pointer([*error.absolute_path, name]), "is required"
    elif error.validator == "additionalProperties" and error.validator_value is False:
        for name in error.instance.keys() - error.schema["properties"].keys():
            known = ", ".join(error.schema["properties"])
            yield (
                _pointer([*error.absolute_path, name]),
                f"is no field of the contract; known here: {known}",
            )
    elif "propertyNames" in error.schema_path:
        yield _pointer([*error.absolute_path, error.instance]), _sentence(error)
    else:
        yield path, _sentence(error)


def _branch(error: Any, path: str) -> Iterator[tuple[str, str]]:
    """Explain the branch the value was meant for: the one of its own type."""
    branches: dict[Any, list[Any]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    for inners in branches.values():
        if not any(inner.validator == "type" and not inner.path for inner in inners):
            if any(inner.validator == "required" and not inner.path for inner in inners):
                yield path, "must have text, html or both"
                return
            for inner in inners:
                yield from _sentences(inner)
            return
    kinds = [NAMES[option.get("type", "string")] for option in error.validator_value]
    yield path, f"must be {' or '.join(kinds)}"


def _sentence(error: Any) -> str:
    match error.validator:
        case "type":
            return f"must be {NAMES.get(str(error.validator_value), error.validator_value)}"
        case "enum":
            return f"must be one of {', '.join(map(str, error.validator_value))}"
        case "minLength" | "maxLength":
            limit = _limit(error)
            return f"has {len(error.instance)} characters, {limit}; {_expected(error)}"
        case "minItems" | "maxItems" | "maxProperties":
            return f"has too many or too few entries: {_limit(error)}"
        case "format":
            return str(error.cause) if error.cause is not None else _expected(error)
        case _:
            return _expected(error)


def _limit(error: Any) -> str:
    bound = "at least" if str(error.validator).startswith("min") else "at most"
    return f"{bound} {error.validator_value}"


def _expected(error: Any) -> str:
    schema = error.schema if isinstance(error.schema, dict) else {}
    return f"must be {schema.get('description', 'of the form the contract gives')}"


def _pointer(path: Any) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
