"""A watch times steps, tells the governor which ran beside a copy, and sets the limit."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from capped_clock import SleepingClock

from user_gym.system.cap import Governor, MemoryCopier, Watch

LEVELS = (1_000_000, 2_000_000, 4_000_000, 8_000_000)


class Stepping:
    """Inference in virtual time, which a copy slows down by 3 % for each MB/s; every second step is beside one."""

    def __init__(self, cost=0.03):
        self.clock = SleepingClock()
        self.copier = MemoryCopier(LEVELS, clock=self.clock, sleep=self.clock.sleep)
        self.governor = Governor(LEVELS)
        self.watch = Watch(self.copier, self.governor, self.clock)
        self.cost, self.source = cost, np.ones(100, np.uint8)

    def step(self, beside):
        with self.watch.step():
            limit = self.copier.limit
            if beside and limit:
                self.copier.copy(self.source, np.zeros(100, np.uint8))
                self.clock.now += 0.1 * self.cost * limit / 1e6
            self.clock.now += 0.1


def test_the_copier_begins_held_and_ends_within_the_budget():
    stepping = Stepping(cost=0.012)
    assert stepping.copier.limit == 0
    with stepping.copier:
        for k in range(400):
            stepping.step(beside=bool(k % 2))
    assert stepping.copier.limit == stepping.governor.limit == 4_000_000
    assert stepping.governor.state().slowdown <= 0.05


def test_a_copy_that_began_and_ended_within_a_step_counts():
    stepping = Stepping()
    with stepping.copier:
        for _ in range(15):
            stepping.step(beside=False)
        for _ in range(16):
            stepping.step(beside=True)
    assert stepping.governor.state().slowdown == pytest.approx(0.03, rel=0.01)


def test_a_step_that_raises_is_not_counted():
    stepping = Stepping()

    def fail():
        with stepping.watch.step():
            stepping.clock.now += 1.0
            raise ZeroDivisionError

    for _ in range(40):
        with pytest.raises(ZeroDivisionError):
            fail()
    assert stepping.governor.state().rounds == 0
    assert stepping.copier.limit == 0


def test_a_copy_in_another_thread_is_governed():
    """On the wall's clock: whatever the steps cost here, every byte arrives and the limit is one of the levels."""
    source, target = np.random.default_rng(0).integers(0, 256, 50_000_000, np.uint8), np.zeros(50_000_000, np.uint8)
    levels = (1 << 28, 1 << 30, 1 << 32)
    with MemoryCopier(levels) as copier:
        watch = Watch(copier, Governor(levels, budget=1e6))
        copying = threading.Thread(target=copier.copy, args=(source, target), name="copy")
        copying.start()
        for _ in range(2000):
            with watch.step():
                copying.join(0.001)
            if not copying.is_alive():
                break
        copying.join(30)
        assert not copying.is_alive()
        assert copier.limit in levels
    np.testing.assert_array_equal(source, target)


def test_importing_the_cap_loads_neither_torch_nor_triton():
    code = "import user_gym.system.cap, sys; assert not {'torch', 'triton'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
