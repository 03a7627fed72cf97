"""What a test's logging wrote to standard output."""

import json
from typing import Any

import pytest


class Output:
    """Keeps what was captured, so that it can be looked at more than once."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    @property
    def text(self) -> str:
        """All that was written so far."""
        self._text += self._capsys.readouterr().out
        return self._text

    def line(self) -> str:
        """Return the only line."""
        (line,) = self.text.splitlines()
        return line

    def events(self) -> list[dict[str, Any]]:
        """Return the JSON lines."""
        return [json.loads(line) for line in self.text.splitlines()]

    def event(self) -> dict[str, Any]:
        """Return the only JSON line."""
        (event,) = self.events()
        return event
