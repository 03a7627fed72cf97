"""An SMTP server that notes the moment of each 250, in a process of its own.

`smtp-sink` counts, but cannot say which mail it took when. On one machine all processes read the
same monotonic clock. It prints its port, and what it took once its standard input ends.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from benchmarks.processes import server
from tests.faults.sink import counting_sink


@contextmanager
def timing_sink() -> Iterator[tuple[int, Callable[[], Mapping[str, float]]]]:
    """Run it for the length of a block.

    Yields its port, and what ends it and returns the moment at which each message was taken.
    """
    with server("benchmarks.timing_sink") as (process, port):

        def taken() -> Mapping[str, float]:
            return dict(json.loads(process.communicate()[0]))

        yield port, taken


def main() -> None:
    """Serve until standard input ends."""
    with counting_sink() as sink:
        print(sink.port, flush=True)
        sys.stdin.read()
        json.dump({each.message_id: each.at_seconds for each in sink.taken}, sys.stdout)


if __name__ == "__main__":
    main()
