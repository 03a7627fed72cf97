"""Puts back what `configure` sets for a whole process."""

import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.ops.output import Output


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    """Return what is logged to standard output."""
    return Output(capsys)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Let a test configure logging."""
    root, pika = logging.getLogger(), logging.getLogger("pika")
    handlers, level, pika_level = root.handlers[:], root.level, pika.level
    raises = logging.raiseExceptions
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    pika.setLevel(pika_level)
    logging.raiseExceptions = raises
    logging.captureWarnings(capture=False)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
