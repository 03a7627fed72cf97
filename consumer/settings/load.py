"""Reads the settings, or says of each wrong one what was given and what is accepted."""

import os
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import DotEnvSettingsSource

from consumer.settings.mask import mask_given, mask_ledger, mask_urls
from consumer.settings.model import PREFIX, Settings, variables
from consumer.settings.read import Unusable
from consumer.settings.secret_files import SUFFIX

SECRETS: Final = Path("/run/secrets")
"""Where Docker mounts secrets; a file there is named after its variable, in whatever case."""

OF_TESTS: Final = f"{PREFIX}TEST_"
"""Variables of the tests' own; they share the environment with the programs under test."""

LEDGER: Final = f"{PREFIX}LEDGER_URL"
HOLD_SECRETS: Final = frozenset(
    PREFIX + name
    for name in ("AMQP_URL", "SMTP_URL", "DEADLETTER_SEAL_KEY", "DEADLETTER_OPEN_KEYS")
)
LONGEST_SHOWN: Final = 100

STAND_INS: Final = {
    f"{PREFIX}AMQP_URL": "amqp://localhost",
    f"{PREFIX}SMTP_URL": "smtp://localhost",
}
"""For settings without a default, where a command does without them."""


class SettingsError(Exception):
    """Settings are missing or wrong; `lines` say which and how, a line each, without secrets."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def load_settings(unneeded: Collection[str] = ()) -> Settings:
    """Read the environment, `.env` in the working folder, and secrets in files.

    A variable of the environment stands before one of `.env`, and both before /run/secrets.
    What is `unneeded` may be missing or wrong, and is not to be read from the settings.
    Raises `SettingsError` with every fault at once; an unknown HOPMAIL_* variable is one.
    """
    settings: Settings | None = None
    try:
        lines = list(_unknown())
        stand_ins: Any = {name: STAND_INS[name] for name in unneeded}
        settings = Settings(_secrets_dir=SECRETS if SECRETS.is_dir() else None, **stand_ins)
    except ValidationError as error:
        lines += _wrong(error)
    except (OSError, UnicodeDecodeError) as error:
        lines = [f".env or {SECRETS} cannot be read: {type(error).__name__}"]
    # Raised out here: an exception raised in a handler keeps the first one, and that the secrets.
    if settings is None or lines:
        raise SettingsError(tuple(lines))
    return settings


def _wrong(error: ValidationError) -> Iterator[str]:
    for details in error.errors(include_url=False):
        # A default made from another setting, which is wrong and has its own line.
        if details["type"] != "default_factory_not_called":
            yield _line(_variable(str(details["loc"][0])), details)


def _variable(name: str) -> str:
    """Return a setting's variable: of one that was not given, its field is named."""
    field = Settings.model_fields.get(name)
    return str(field.validation_alias) if field else name


def _line(name: str, details: ErrorDetails) -> str:
    if details["type"] == "missing":
        field = next(f for f in Settings.model_fields.values() if f.validation_alias == name)
        return f"{name} is missing. {field.description}"
    given, problem = details["input"], details["ctx"]["error"]
    if isinstance(given, Unusable):
        return f"{name} {problem}"
    if name == LEDGER:
        shown = mask_ledger(given)
    else:
        shown = mask_urls(given) if name in HOLD_SECRETS else mask_given(given)[:LONGEST_SHOWN]
    return f"{name}: given {shown!r}; {problem}"


def _unknown() -> Iterator[str]:
    known = {
        name.removeprefix(PREFIX): name
        for variable in variables()
        for name in (variable, f"{variable}{SUFFIX}")
    }
    in_file = DotEnvSettingsSource(Settings).env_vars
    for name in sorted({name.upper() for name in (*os.environ, *in_file)}):
        if name.startswith(PREFIX) and not name.startswith(OF_TESTS) and name not in known.values():
            close = get_close_matches(name.removeprefix(PREFIX), known, n=1)
            yield f"{mask_given(name)} is no setting" + (
                f"; did you mean {known[close[0]]}?" if close else ""
            )
