"""What is wrong with an email, in sentences that name the field and never quote what it says."""

from typing import Any, Final

from pydantic import ValidationError

from publisher_lib.message import Attachment, Content, Email
from publisher_lib.model import Model

_MODELS: Final[dict[str, type[Model]]] = {
    "message": Content,
    "attachments": Attachment,
    "Content": Content,
    "Attachment": Attachment,
}
"""The model at a field of the email, or of a class; `Email` for all others."""

_MEANT: Final = {
    "to": "email_to",
    "from": "email_from",
    "from_": "email_from",
    "sender": "email_from",
    "text": "message=Content(text=…)",
    "html": "message=Content(html=…)",
    "body": "message=Content(text=…)",
}
"""The field of the contract for a name that `send` or habit gives it."""

_WANTED: Final = {
    "Email": "must be an Email, or a mapping of its fields",
    "Content": "must be Content(text=…, html=…), or a mapping of these",
    "Attachment": "must be an Attachment; Attachment.from_path(…) makes one of a file",
}
_SENTENCES: Final = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_unicode": "must not have lone surrogates",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "literal_error": "must be {expected}",
    "tuple_type": "must be a list of Attachment",
    "too_long": "must have at most {max_length} entries",
}
_DESCRIPTIONS: Final = {
    name: f"must be {field.description}"
    for model in (Attachment, Email)
    for name, field in model.model_fields.items()
    if field.description
} | {"content": "must be base64 of the standard alphabet, with padding"}
"""What a field must be that has a pattern."""


def violations(error: ValidationError) -> list[tuple[str, str]]:
    """Return what is wrong as (JSON pointer, sentence), never quoting the email's contents."""
    return [
        (_pointer(details), _sentence(details, error.title))
        for details in error.errors(include_url=False, include_input=False)
    ]


def _pointer(details: Any) -> str:
    path = [str(step) for step in details["loc"]]
    if "at" in details.get("ctx", {}):
        path.append(details["ctx"]["at"])
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)


def _sentence(details: Any, made: str) -> str:
    kind, place, context = details["type"], details["loc"], details.get("ctx", {})
    match kind:
        case "extra_forbidden" if made == "Email" and place[0] in _MEANT:
            return f"is no field of the contract; did you mean {_MEANT[place[0]]}?"
        case "extra_forbidden":
            model = _MODELS.get(place[0] if len(place) > 1 else made, Email)
            return f"is no field of the contract; known here: {', '.join(model.model_fields)}"
        case "string_pattern_mismatch":
            return _DESCRIPTIONS.get(str(place[-1]), "has a form outside the contract")
        case "model_type":
            return _WANTED.get(context["class_name"], str(details["msg"]))
        case _ if kind in _SENTENCES:
            return _SENTENCES[kind].format_map(context)
        case _:
            return str(details["msg"])
