"""What the parts of an email have in common: how they are made, and refused."""

from inspect import Parameter, Signature
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from publisher_lib.errors import InvalidEmail


class Model(BaseModel):
    """A part of the contract. Its constructor raises `InvalidEmail`, which quotes no value.

    `model_validate` and its like raise pydantic's ValidationError.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            from publisher_lib.violations import violations  # noqa: PLC0415 - reads the models

            found = violations(error)
        else:
            return
        # Raised out here, its context does not hold pydantic's error, which holds the email.
        raise InvalidEmail(found)

    # Without it pydantic would call the constructor of every part it validates, and lose the
    # part's place in the email when that raises.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pydantic's own mark

    @classmethod
    def __pydantic_init_subclass__(cls, **_kwargs: Any) -> None:
        """Let `help` show the fields' types without their regular expressions."""
        cls.__signature__ = Signature(
            [
                Parameter(
                    name,
                    Parameter.KEYWORD_ONLY,
                    default=Parameter.empty if field.is_required() else field.default,
                    annotation=field.annotation,
                )
                for name, field in cls.model_fields.items()
            ]
        )
