"""Lines on their way to a descriptor: whole, in order, bounded, and never waited for."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator

import pytest

from proxy.telemetry.line_writer import ATOMIC
from proxy.telemetry.output import HELD_BYTES, LINES_LOST, Output

NUMBER = 10_000


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that holds one page, its reading and its writing end."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    os.close(reading)


def lost() -> float:
    return LINES_LOST._value.get()


def read_all(reading: int) -> bytes:
    data = b""
    while piece := os.read(reading, 1 << 16):
        data += piece
    return data


def closed(output: Output, writing: int) -> threading.Thread:
    """Ends an output in the background, and its descriptor after it."""

    def close() -> None:
        output.close(60)
        os.close(writing)

    thread = threading.Thread(target=close)
    thread.start()
    return thread


def test_lines_are_written_whole_and_in_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    output = Output(writing)
    lines = [f"{number} {'x' * (number % 9000)}\n" for number in range(200)]
    for line in lines:
        output.write(line)
    ending = closed(output, writing)
    assert "".join(lines).encode() == read_all(reading)
    ending.join()


def test_lines_beside_another_writer_are_not_cut(pipe: tuple[int, int]) -> None:
    """As where several processes share a pipe. A pipe takes ``ATOMIC`` bytes in one piece."""
    reading, writing = pipe
    outputs = [Output(writing), Output(os.dup(writing))]
    lines = {name: [f"{name}{number:05} {name * (number % (ATOMIC - 8))}\n" for number in range(300)] for name in "ab"}
    for name, output in zip("ab", outputs, strict=True):
        for line in lines[name]:
            output.write(line)
    endings = [closed(outputs[0], writing), closed(outputs[1], outputs[1]._writer._descriptor)]
    found = read_all(reading).decode().splitlines(keepends=True)
    assert lines == {name: [line for line in found if line.startswith(name)] for name in "ab"}
    for ending in endings:
        ending.join()


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "non-blocking"])
def test_a_reader_that_stalls_costs_lines_beyond_a_bound(pipe: tuple[int, int], blocking: bool) -> None:
    reading, writing = pipe
    os.set_blocking(writing, blocking)
    output, reported = Output(writing), threading.Event()
    counts: list[int] = []

    def recovered(count: int) -> None:
        counts.append(count)
        output.write(f"{count} lost\n")
        reported.set()

    output.on_recovery = recovered
    before = lost()
    line = "x" * 999 + "\n"
    for _ in range(NUMBER):
        output.write(line)
    dropped = int(lost() - before)
    kept = NUMBER - dropped
    assert HELD_BYTES // 2 < kept * len(line) < HELD_BYTES + 4096
    assert output._held <= HELD_BYTES
    assert blocking == os.get_blocking(writing), "others may share the descriptor"
    read = b""
    while f"{dropped} lost\n".encode() not in read:
        read += os.read(reading, 1 << 16)
    assert line * kept + f"{dropped} lost\n" == read.decode()
    assert (True, [dropped]) == (reported.wait(10), counts)
    output.write("again\n")
    ending = closed(output, writing)
    assert b"again\n" == read_all(reading)
    ending.join()


def test_closing_does_not_wait_for_a_reader_that_stalls(pipe: tuple[int, int]) -> None:
    _, writing = pipe
    output = Output(writing)
    for _ in range(100):
        output.write("x" * 999 + "\n")
    started = time.monotonic()
    output.close(0.1)
    assert 10 > time.monotonic() - started
    output.write("lost\n")


def test_lines_that_nobody_reads_are_counted(pipe: tuple[int, int]) -> None:
    _, writing = pipe
    reading, writing = os.pipe()
    os.close(reading)
    output = Output(writing)
    before = lost()
    for _ in range(10):
        output.write("x\n")
    closed(output, writing).join()
    assert 10 == lost() - before


def test_a_line_longer_than_all_that_is_held_is_lost(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    output = Output(writing)
    before = lost()
    output.write("x" * HELD_BYTES + "\n")
    output.write("next\n")
    ending = closed(output, writing)
    assert (b"next\n", 1) == (read_all(reading), lost() - before)
    ending.join()
