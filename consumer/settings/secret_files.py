"""Secrets in files: `NAME_FILE` names the file that holds NAME, as container images have it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from consumer.settings.mask import mask_given
from consumer.settings.read import Unusable

SUFFIX: Final = "_FILE"


class SecretFiles(PydanticBaseSettingsSource):
    """Gives the contents of the files that `given`, the variables in lower case, points to."""

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        given: Mapping[str, str | None],
    ) -> None:
        super().__init__(settings_cls)
        self._given = given

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return what the file of a field holds (None: there is no such file), and its variable."""
        name = str(field.validation_alias or field_name)
        path = self._given.get(f"{name}{SUFFIX}".lower())
        return self._content(name, path) if path else None, name, False

    def __call__(self) -> dict[str, Any]:
        """Return what the files hold, by variable."""
        fields = self.settings_cls.model_fields.items()
        found = (self.get_field_value(field, name) for name, field in fields)
        return {variable: value for value, variable, _is_complex in found if value is not None}

    def _content(self, name: str, path: str) -> str | Unusable:
        if self._given.get(name.lower()):
            return Unusable(f"is given twice, by {name} and by {name}{SUFFIX}; leave one out")
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            shown = mask_given(path)
            return Unusable(f"cannot be read from {shown!r} ({name}{SUFFIX}): {why}")
