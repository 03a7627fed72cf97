"""What is wrong with an email, in sentences that name the field and never quote what it says."""

from typing import Any, Final

from pydantic import ValidationError

from publisher_lib.message import Attachment, Email


def violations(error: ValidationError) -> list[tuple[str, str]]:
    """Return what is wrong as (JSON pointer, sentence), never quoting the email's contents."""
    return [
        (_pointer(details), _sentence(details))
        for details in error.errors(include_url=False, include_input=False)
    ]


def _pointer(details: Any) -> str:
    path = [str(step) for step in details["loc"]]
    if "at" in details.get("ctx", {}):
        path.append(details["ctx"]["at"])
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in path)


def _sentence(details: Any) -> str:
    match details["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            fields = ", ".join(Email.model_fields)
            return f"is no field of the contract; at the top level these are: {fields}"
        case "string_pattern_mismatch":
            return _DESCRIPTIONS.get(str(details["loc"][-1]), "has a form outside the contract")
        case _:
            return str(details["msg"])


_DESCRIPTIONS: Final = {
    name: f"must be {field.description}"
    for model in (Attachment, Email)
    for name, field in model.model_fields.items()
    if field.description
} | {"content": "must be base64 of the standard alphabet, with padding"}
