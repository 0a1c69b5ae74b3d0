"""What every copier keeps: a subclass says how one is made, and what its arenas are."""

import numpy as np
import pytest
from capped_clock import SleepingClock

from user_gym.errors import BadOption, Busy, Closed

LEVELS = (1, 2, 4, 8, 16, 32, 132)


class CopierSuite:
    levels = LEVELS

    def make(self, levels, limit=None, **clock):
        raise NotImplementedError

    def arena(self, values):
        """An arena of these bytes, (n,) uint8."""
        raise NotImplementedError

    def bytes_of(self, arena):
        return np.asarray(arena).tobytes()

    @pytest.fixture
    def clock(self):
        return SleepingClock()

    @pytest.fixture
    def copier(self, clock):
        with self.make(self.levels, clock=clock, sleep=clock.sleep) as copier:
            yield copier

    def pair(self, n, seed=0):
        values = np.random.default_rng(seed).integers(0, 256, n, np.uint8)
        return self.arena(values), self.arena(np.zeros(n, np.uint8))

    @pytest.mark.parametrize("n", [0, 1, 3, 4095, 4097, 32769, 100_003])
    def test_every_byte_arrives(self, copier, n):
        source, target = self.pair(n)
        for limit in self.levels:
            copier.limit = limit
            target = self.pair(n)[1]
            copied = copier.copy(source, target)
            assert self.bytes_of(target) == self.bytes_of(source)
            assert copied.bytes == n
            assert (copied.lowest, copied.highest) == ((limit, limit) if n else (0, 0))

    def test_the_source_stays_as_it_is(self, copier):
        source, target = self.pair(5000)
        before = self.bytes_of(source)
        copier.copy(source, target)
        assert self.bytes_of(source) == before

    def test_the_limit_may_change_while_it_runs(self, copier, clock):
        source, target = self.pair(200_000)
        move, limits = copier._move, []

        def spy(begin, end, limit):
            limits.append(limit)
            move(begin, end, limit)
            copier.limit = self.levels[min(len(limits), len(self.levels) - 1)]

        copier._move = spy
        copied = copier.copy(source, target)
        assert self.bytes_of(target) == self.bytes_of(source)
        assert limits[: len(self.levels)] == list(self.levels[: len(limits)])
        assert len(limits) == copied.pieces > 1
        assert (copied.lowest, copied.highest) == (limits[0], max(limits))

    def test_a_limit_of_zero_holds_it(self, copier, clock):
        source, target = self.pair(5000)
        copier.limit = 0
        assert not copier.busy
        clock.at(clock.now + 2.0, lambda: setattr(copier, "limit", self.levels[-1]))
        copied = copier.copy(source, target)
        assert copied.held == pytest.approx(2.0, abs=0.01)
        assert copied.elapsed >= copied.held
        assert self.bytes_of(target) == self.bytes_of(source)

    def test_a_limit_that_is_no_level_is_refused(self, copier):
        for limit in (3, -1, self.levels[-1] + 1, 1.0, True):
            with pytest.raises(BadOption, match="limit"):
                copier.limit = limit
        assert copier.limit == self.levels[0]

    def test_a_copy_that_is_held_ends_when_it_is_closed(self, copier, clock):
        source, target = self.pair(5000)
        copier.limit = 0
        clock.at(clock.now + 0.5, copier.close)
        with pytest.raises(Closed):
            copier.copy(source, target)
        assert not copier.busy
        copier.close()

    def test_it_copies_only_while_it_is_open(self):
        copier = self.make(self.levels)
        with pytest.raises(Closed, match="open"):
            copier.copy(*self.pair(5))

    def test_one_copy_runs_at_a_time(self, copier, clock):
        source, target = self.pair(5000)
        refused = []

        def second():
            with pytest.raises(Busy) as error:
                copier.copy(source, target)
            refused.append(error)
            copier.limit = self.levels[0]

        copier.limit = 0
        clock.at(clock.now + 0.1, second)
        copier.copy(source, target)
        assert refused

    def test_an_arena_of_another_size_is_refused(self, copier):
        source, _ = self.pair(50)
        with pytest.raises(BadOption, match="49 bytes"):
            copier.copy(source, self.arena(np.zeros(49, np.uint8)))

    def test_both_ends_have_to_be_here(self, copier):
        source, target = self.pair(50)
        for ends in ((source, None), (None, target)):
            with pytest.raises(BadOption, match="arena"):
                copier.copy(*ends)

    def test_it_counts_what_it_copied(self, copier):
        source, target = self.pair(10_000)
        for _ in range(3):
            copier.copy(source, target)
        assert copier.copied == 30_000
        assert not copier.busy

    @pytest.mark.parametrize("levels", [(), (2, 1), (1, 1), (0, 1), (1.5,)])
    def test_levels_that_do_not_ascend_are_refused(self, levels):
        with pytest.raises(BadOption, match="level"):
            self.make(levels)
