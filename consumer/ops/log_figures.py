"""How many messages are logged at each level."""

import logging
from typing import Final

from prometheus_client import CollectorRegistry, Counter

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class LogFigures(logging.Handler):
    """Counts every record that reaches it, and writes none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        counter = Counter(
            "hopmail_log_messages", "Log messages, by level.", ("level",), registry=registry
        )
        self._of = {level: counter.labels(level) for level in LEVELS}

    def handle(self, record: logging.LogRecord) -> bool:
        """Count a record; another level than ours counts as the one below it."""
        counted = self._of.get(record.levelname) or self._of[_level_of(record.levelno)]
        counted.inc()
        return True


def _level_of(number: int) -> str:
    return LEVELS[min(max(number // 10 - 1, 0), len(LEVELS) - 1)]
