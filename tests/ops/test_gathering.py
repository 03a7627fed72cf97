"""Lines gathered in a block, written at its end: all of them, in order, none within another."""

import io
import os
import select
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from consumer.ops.gathering import LARGEST_WRITE_BYTES, Gathering


def test_what_a_thread_gathers_is_written_at_the_end() -> None:
    stream = io.StringIO()
    output = Gathering(stream)

    with output.gathered():
        output.write("one\n")
        output.flush()
        output.write("two\n")
        output.flush()
        assert stream.getvalue() == ""

    assert stream.getvalue() == "one\ntwo\n"
    output.write("three\n")
    output.flush()
    assert stream.getvalue() == "one\ntwo\nthree\n"


def test_the_line_of_another_thread_waits_for_nobody_and_keeps_its_place() -> None:
    stream = io.StringIO()
    output = Gathering(stream)

    def other() -> None:
        output.write("two\n")
        output.flush()

    with output.gathered():
        output.write("one\n")
        output.flush()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert stream.getvalue() == "one\ntwo\n"


@pytest.mark.parametrize("character", ["x", "é"])
def test_many_lines_are_written_in_pieces_that_a_pipe_takes_whole(character: str) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        output = Gathering(stream)
        with output.gathered():
            for _ in range(20):
                output.write(character * 499 + "\n")
                output.flush()
        os.set_blocking(reader, False)
        got = os.read(reader, 1 << 20)
    os.close(reader)

    assert got.decode() == (character * 499 + "\n") * 20

    assert LARGEST_WRITE_BYTES <= select.PIPE_BUF

    sizes: list[int] = []

    class Pieces(io.StringIO):
        def write(self, text: str) -> int:
            sizes.append(len(text.encode()))
            return len(text)

    output = Gathering(Pieces())
    with output.gathered():
        for _ in range(20):
            output.write(character * 499 + "\n")
    assert max(sizes) <= LARGEST_WRITE_BYTES
    assert len(sizes) < 20


WRITER = """
import sys
from consumer.ops.gathering import Gathering
output = Gathering(sys.stdout)
for _ in range(20):
    with output.gathered():
        for _ in range(100):
            output.write(sys.argv[1] * 400 + "\\n")
            output.flush()
"""


def test_lines_of_two_processes_in_one_pipe_stay_whole() -> None:
    reader, writer = os.pipe()
    crew = [
        subprocess.Popen([sys.executable, "-c", WRITER, letter], stdout=writer) for letter in "ab"
    ]
    os.close(writer)
    # A full pipe has room for a part of a longer piece.
    time.sleep(0.5)
    read = b""
    while part := os.read(reader, 3000):
        read += part
    os.close(reader)
    found = Counter(read.decode().splitlines())
    for process in crew:
        assert process.wait(20) == 0

    assert found == {"a" * 400: 2000, "b" * 400: 2000}


def test_what_cannot_be_written_ends_no_thread() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    output = Gathering(stream)

    with output.gathered():
        output.write("lost\n")

    with pytest.raises(BrokenPipeError):
        stream.close()
