"""pika's own log lines, where it works for the library.

Of a broker that is away it writes half a dozen at ERROR, some with a traceback, at each try; the
error that the app gets, and `publisher connection lost` in its log, say it in one.
"""

import logging
import threading
from typing import Final

THREAD_NAME: Final = "publisher_lib"
PIKA: Final = logging.getLogger("pika")


def keep_from_the_app() -> None:
    """Drop these lines, unless the logger `pika` is set to DEBUG; those of the app's own stay."""
    for name in tuple(logging.root.manager.loggerDict):
        if name.startswith("pika."):
            # A logger's filter is not asked about the records of those below it.
            logging.getLogger(name).addFilter(_is_wanted)


def _is_wanted(_record: logging.LogRecord) -> bool:
    # Its own name of the thread is None where the app turned `logging.logThreads` off.
    is_ours = threading.current_thread().name == THREAD_NAME
    return not is_ours or logging.NOTSET < PIKA.level <= logging.DEBUG
