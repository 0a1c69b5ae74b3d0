"""Buffers of one host at a capped rate."""

from itertools import pairwise
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest
from capped_clock import SleepingClock
from copier_suite import CopierSuite
from hypothesis import given, settings
from hypothesis import strategies as st

from user_gym.errors import BadOption
from user_gym.system.cap import RATES, MemoryCopier, Unit

MB = 1_000_000


class TestMemoryCopier(CopierSuite):
    levels = (1 * MB, 4 * MB, 16 * MB, 64 * MB)

    def make(self, levels, limit=None, **clock):
        return MemoryCopier(levels, limit, **clock)

    def arena(self, values):
        return np.array(values)


@pytest.mark.parametrize("rate", [1 * MB, 32 * MB, 256 * MB])
def test_the_rate_is_kept(rate):
    clock = SleepingClock()
    with MemoryCopier(RATES, rate, clock=clock, sleep=clock.sleep) as copier:
        source = np.ones(rate // 2, np.uint8)
        copied = copier.copy(source, np.zeros_like(source))
    piece = copier._piece(rate)
    assert copied.elapsed == pytest.approx((source.size - piece) / rate, rel=0.02)
    assert copied.held == 0.0  # to wait for its turn is no hold
    assert copied.multiprocessors == copier.multiprocessors == 0
    assert copier.unit is Unit.BYTES_PER_SECOND


def test_the_rate_is_kept_from_one_copy_to_the_next():
    clock = SleepingClock()
    with MemoryCopier(RATES, MB, clock=clock, sleep=clock.sleep) as copier:
        source = np.ones(4096, np.uint8)
        for _ in range(100):
            copier.copy(source, np.zeros_like(source))
    assert clock.now - 100.0 == pytest.approx(99 * 4096 / MB)


@settings(deadline=None, max_examples=12)
@given(st.lists(st.tuples(st.floats(0.01, 0.2), st.sampled_from([0, 1, 2, 4, 8])), max_size=6))
def test_no_window_has_more_than_its_limits_allow(changes):
    clock = SleepingClock()
    levels = (MB, 2 * MB, 4 * MB, 8 * MB)
    limits, begun = [(clock.now, MB)], []
    with MemoryCopier(levels, MB, clock=clock, sleep=clock.sleep) as copier:
        move = copier._move

        def spy(begin, end, limit):
            begun.append((clock.now, end - begin))
            move(begin, end, limit)

        def change(limit):
            copier.limit = limit
            limits.append((clock.now, limit))

        copier._move = spy
        at = clock.now
        for wait, level in changes:
            at += wait
            clock.at(at, lambda level=level: change(level * MB))
        clock.at(at + 0.1, lambda: change(8 * MB))
        source = np.ones(600_000, np.uint8)
        copier.copy(source, np.zeros_like(source))

    def allowed(begin, end):
        ends = [*(time for time, _ in limits[1:]), float("inf")]
        spans = ((max(begin, low), min(end, high), limit) for (low, limit), high in zip(limits, ends, strict=True))
        return sum(max(0.0, high - low) * limit for low, high, limit in spans)

    for first in range(len(begun)):
        total = 0
        for time, count in begun[first:]:
            total += count
            assert total <= allowed(begun[first][0], time) + max(piece for _, piece in begun) + 8 * MB * 0.005 + 1
    assert all(high[0] >= low[0] for low, high in pairwise(begun))


def test_shared_memory_can_be_closed_after_a_copy():
    memory = SharedMemory(create=True, size=1 << 16)
    try:
        source = np.random.default_rng(0).integers(0, 256, memory.size, np.uint8)
        with MemoryCopier((1 << 30,)) as copier:
            copier.copy(source, memory.buf)
        assert bytes(memory.buf) == source.tobytes()
    finally:
        memory.close()
        memory.unlink()


@pytest.mark.parametrize("source", [np.ones(5, np.uint8), np.ones((4, 4), np.uint8)[:, ::2], None])
def test_shared_memory_can_be_closed_after_a_copy_that_was_refused(source):
    memory = SharedMemory(create=True, size=1 << 16)
    try:
        with MemoryCopier((1 << 30,)) as copier:
            for ends in ((source, memory.buf), (memory.buf, source)):
                with pytest.raises(BadOption):
                    copier.copy(*ends)
            memory.close()
    finally:
        memory.unlink()


def test_arrays_of_any_type_are_bytes_to_it():
    source = np.arange(300, dtype=np.float32).reshape(3, 100)
    target = np.zeros((3, 100), np.float32)
    with MemoryCopier((1 << 30,)) as copier:
        assert copier.copy(source, target).bytes == 1200
    np.testing.assert_array_equal(source, target)


def test_memory_that_is_scattered_or_read_only_is_refused():
    with MemoryCopier((1 << 30,)) as copier:
        with pytest.raises(BadOption, match="one piece"):
            copier.copy(np.zeros((4, 4), np.uint8)[:, ::2], np.zeros(8, np.uint8))
        with pytest.raises(BadOption, match="read-only"):
            copier.copy(np.zeros(8, np.uint8), bytes(8))
