"""Segments: real files, torn, damaged and full."""

import os
import resource
import signal
import threading

import numpy as np
import pytest
from chunks import filmed
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import chunk

from user_gym.errors import BadBlock, Closed
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.segment import FIRST, Segment

ENCODER = Encoder()
BLOCKS = [ENCODER.encode(chunk(3, episode=n) if n % 2 else filmed(2, episode=n)).data for n in range(5)]
PLACES = [FIRST + sum(map(len, BLOCKS[:n])) for n in range(6)]


def filled(path):
    segment = Segment.create(path)
    assert [segment.append(block) for block in BLOCKS] == PLACES[:-1]
    segment.sync()
    return segment


@pytest.fixture
def segment(tmp_path):
    with filled(tmp_path / "segment") as opened:
        yield opened


def test_what_was_appended_is_read_at_its_offset_also_by_others(segment) -> None:
    with Segment.open(segment.path) as other:
        assert other.size == segment.size == PLACES[-1] == segment.path.stat().st_size
        for opened in (segment, other):
            for place, block in zip(PLACES, BLOCKS, strict=False):
                assert opened.read(place, len(block)) == block
                assert opened.head(place).block_bytes == len(block)


def test_bytes_are_read_straight_into_many_buffers(segment) -> None:
    sizes = [100, 0, 64, *[1] * 2000, 3000]
    buffers = [bytearray(sizes[0]), np.zeros(sizes[1], np.uint8), np.zeros((4, 4), np.float32)]
    buffers += [np.zeros(1, np.uint8) for _ in range(2000)] + [bytearray(sizes[-1])]
    segment.readv(PLACES[1], buffers)
    assert b"".join(bytes(memoryview(one).cast("B")) if len(one) else b"" for one in buffers) == segment.read(
        PLACES[1], sum(sizes)
    )


def test_reading_beyond_the_end_is_refused(segment) -> None:
    for read in (lambda: segment.read(PLACES[-1] - 10, 11), lambda: segment.readv(PLACES[-1], [bytearray(1)])):
        with pytest.raises(BadBlock, match="torn off"):
            read()
    assert segment.read(PLACES[-1], 0) == b""


def test_a_scan_finds_each_block(segment) -> None:
    for items in (False, True):
        found = list(segment.scan(items=items))
        assert [one.offset for one in found] == PLACES[:-1]
        assert [one.head.episode for one in found] == [0, 1, 2, 3, 4]
        assert [one.offset for one in segment.scan(PLACES[3], items=items)] == PLACES[3:-1]


@pytest.mark.parametrize("cut", [1, 63, 64, 100, len(BLOCKS[4]) - 64, len(BLOCKS[4]) - 1])
def test_a_torn_end_is_told_from_the_sound_blocks_before_it(segment, cut) -> None:
    segment.truncate(PLACES[-1] - cut)
    for opened in (segment, Segment.open(segment.path)):
        with opened:
            *sound, torn = opened.scan(items=True)
            assert [one.offset for one in sound] == PLACES[:4]
            assert all(one.head for one in sound)
            assert (torn.offset, torn.nbytes, torn.head) == (PLACES[4], len(BLOCKS[4]) - cut, None)
            assert "bad block" in torn.reason


def test_an_end_that_was_cut_can_be_written_again(segment) -> None:
    segment.truncate(PLACES[4])
    assert segment.append(BLOCKS[0]) == PLACES[4]
    assert [one.head.episode for one in segment.scan(items=True)] == [0, 1, 2, 3, 0]


@given(st.integers(FIRST, PLACES[-1] - 1), st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_costs_one_block_and_no_other(tmp_path_factory, byte, bit) -> None:
    path = tmp_path_factory.mktemp("flip") / "segment"
    with filled(path) as segment:
        damaged = bytearray(path.read_bytes())
        damaged[byte] ^= 1 << bit
        path.write_bytes(damaged)
        hit = max(place for place in PLACES if place <= byte)
        for one in segment.scan(items=True):
            assert (one.head is None) == (one.offset == hit)
            assert (one.reason != "") == (one.offset == hit)
        assert sum(one.nbytes for one in segment.scan(items=True)) == PLACES[-1] - FIRST


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_garbage_between_blocks_is_one_bad_piece(tmp_path_factory, data) -> None:
    garbage = data.draw(st.binary(min_size=1, max_size=400)) + data.draw(st.sampled_from([b"", BLOCKS[1][:64], b"UGB1" * 40]))
    garbage += bytes(-len(garbage) % 64)
    with Segment.create(tmp_path_factory.mktemp("garbage") / "segment") as segment:
        for part in (BLOCKS[0], garbage, BLOCKS[1], garbage):
            segment.append(part)
        found = [(one.offset, one.nbytes, one.head is not None) for one in segment.scan(items=True)]
    first, second = FIRST + len(BLOCKS[0]), FIRST + len(BLOCKS[0]) + len(garbage)
    last = (second + len(BLOCKS[1]), len(garbage), False)
    assert found == [(FIRST, len(BLOCKS[0]), True), (first, len(garbage), False), (second, len(BLOCKS[1]), True), last]


def test_a_block_far_behind_damage_is_found(tmp_path) -> None:
    with Segment.create(tmp_path / "segment") as segment:
        segment.append(bytes((3 << 20) - 64))
        segment.append(BLOCKS[1])
        assert [(one.offset, one.head is None) for one in segment.scan()] == [(64, True), (3 << 20, False)]


def test_a_block_is_looked_for_at_multiples_of_64_only(tmp_path) -> None:
    with Segment.create(tmp_path / "segment") as segment:
        segment.append(bytes(65))
        segment.append(BLOCKS[1])
        assert [(one.offset, one.nbytes, one.head) for one in segment.scan()] == [(64, 65 + len(BLOCKS[1]), None)]


def test_a_file_that_is_no_segment_is_refused(tmp_path) -> None:
    for number, data in enumerate((b"", b"UGS1", b"SQLite format 3\0" * 8, b"UGS1\2" + bytes(59))):
        path = tmp_path / str(number)
        path.write_bytes(data)
        with Segment.open(path) as opened, pytest.raises(BadBlock, match="head of segment"):
            opened.check()
    with pytest.raises(FileNotFoundError):
        Segment.open(tmp_path / "none")
    with pytest.raises(FileExistsError):
        Segment.create(tmp_path / "0")


def test_a_segment_opened_to_read_cannot_be_written(segment) -> None:
    with Segment.open(segment.path) as other, pytest.raises(OSError, match=r"descriptor|argument"):
        other.append(BLOCKS[0])
    with Segment.open(segment.path, write=True) as other:
        assert other.append(BLOCKS[0]) == PLACES[-1]


def test_a_full_disk_leaves_the_segment_as_it_was(segment) -> None:
    limit = PLACES[-1] + 1000
    old, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        with pytest.raises(OSError, match="large"):
            segment.append(BLOCKS[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert segment.size == segment.path.stat().st_size == PLACES[-1]
    assert segment.append(BLOCKS[0]) == PLACES[-1]
    assert all(one.head for one in segment.scan(items=True))


def test_a_closed_segment_says_so(segment) -> None:
    segment.close()
    segment.close()
    for call in (lambda: segment.append(BLOCKS[0]), lambda: segment.read(0, 1), segment.sync, lambda: segment.truncate(0)):
        with pytest.raises(Closed, match="segment"):
            call()


def test_many_threads_read_while_one_appends(segment) -> None:
    wrong: list[str] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for place, block in zip(PLACES, BLOCKS, strict=False):
                if segment.read(place, len(block)) != block:
                    wrong.append(f"at {place}")

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        segment.append(BLOCKS[1])
    stop.set()
    for thread in threads:
        thread.join(10)
    assert not wrong
    assert os.path.getsize(segment.path) == PLACES[-1] + 200 * len(BLOCKS[1])


def test_what_is_not_in_memory_is_left_for_later(segment, monkeypatch) -> None:
    offset = segment.append(bytes(range(200)))
    rows = np.zeros((2, 100), np.uint8)
    monkeypatch.setattr(os, "preadv", lambda *arguments: (_ for _ in ()).throw(BlockingIOError()))
    expected = []
    monkeypatch.setattr(segment, "expect", lambda *where: expected.append(where))
    assert not segment.scatter_held(offset, list(rows))
    assert expected == [(offset, 200)]
    monkeypatch.undo()
    assert segment.scatter_held(offset, list(rows))  # written a moment ago
    assert rows.ravel().tolist() == list(range(200))


def test_a_file_system_that_cannot_tell_is_waited_for() -> None:
    memory = Segment("memory", os.memfd_create("segment"), 0)
    offset, row = memory.append(bytes(range(100))), np.zeros(100, np.uint8)
    assert memory.scatter_held(offset, [row])
    assert row.tolist() == list(range(100))
    memory.close()
