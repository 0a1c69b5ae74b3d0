"""The storage suite catches storages that lose, mix or share what they keep."""

from dataclasses import replace

import numpy as np
import pytest
from faults import is_caught

from user_gym.errors import BadChunk
from user_gym.system import Buffer
from user_gym.testing.storage_suite import StorageSuite


class Faulty:
    """A sound storage behind one fault."""

    def __init__(self):
        self.inner, self.kept = Buffer.open(":memory:"), []

    def append(self, chunk):
        self.kept.append(chunk)
        return self.inner.append(chunk)

    def sample(self, n, rng, horizon=1, out=None):
        return self.inner.sample(n, rng, horizon, out)

    def view(self, where):
        return self.inner.view(where)

    def __len__(self):
        return len(self.inner)

    def stats(self):
        return self.inner.stats()

    def close(self):
        self.inner.close()


class BootstrapsPastTheCut(Faulty):
    """The last step of a chunk gets its own observation as the next one."""

    def append(self, chunk):
        return self.inner.append(replace(chunk, obs={k: np.concatenate([v[:-1], v[-2:-1]]) for k, v in chunk.obs.items()}))


class CallsATimeLimitAnEnd(Faulty):
    def sample(self, n, rng, horizon=1, out=None):
        batch = self.inner.sample(n, rng, horizon, out)
        return replace(batch, terminated=batch.terminated | batch.truncated)


class StoresTwice(Faulty):
    def append(self, chunk):
        self.kept.append(chunk)
        return self.inner.append(replace(chunk, source=f"{chunk.source}{len(self.kept)}"))


class RunsIntoTheNextEpisode(Faulty):
    def sample(self, n, rng, horizon=1, out=None):
        batch = self.inner.sample(n, rng, horizon, out)
        return replace(batch, valid=np.ones_like(batch.valid))


class PrefersTheFirst(Faulty):
    def sample(self, n, rng, horizon=1, out=None):
        batch = self.inner.sample(n, rng, horizon, out)
        first = batch.reward.argmin()
        batch.reward[: n // 10] = batch.reward[first]
        return batch


class LendsItsArrays(Faulty):
    batch = None

    def sample(self, n, rng, horizon=1, out=None):
        if self.batch is None:
            self.batch = self.inner.sample(n, rng, horizon, out)
        return self.batch


class KeepsWhatItWasGiven(Faulty):
    def sample(self, n, rng, horizon=1, out=None):
        batch = self.inner.sample(n, rng, horizon, out)
        batch.obs["state"][:] = self.kept[0].obs["state"][0]
        return batch


class TakesAnything(Faulty):
    def append(self, chunk):
        try:
            return super().append(chunk)
        except BadChunk:
            return (0, 0, True)


class ForgetsThatItIsClosed(Faulty):
    def close(self):
        pass


class FreezesItsViews(Faulty):
    def view(self, where):
        frozen = Buffer.open(":memory:")
        for chunk in self.kept:
            frozen.append(chunk)
        return frozen.view(where)


SUITE = StorageSuite()


@pytest.mark.parametrize(
    ("fault", "test", "arguments"),
    [
        (BootstrapsPastTheCut, SUITE.test_every_transition_comes_back, ("truncated", False)),
        (CallsATimeLimitAnEnd, SUITE.test_every_transition_comes_back, ("truncated", False)),
        (RunsIntoTheNextEpisode, SUITE.test_a_run_of_steps_stays_within_its_episode, ()),
        (StoresTwice, SUITE.test_an_append_is_acknowledged_and_a_repeated_one_adds_nothing, ()),
        (PrefersTheFirst, SUITE.test_a_batch_is_uniform_and_follows_the_generator, ()),
        (LendsItsArrays, SUITE.test_what_sample_returns_belongs_to_the_caller, ()),
        (KeepsWhatItWasGiven, SUITE.test_what_sample_returns_belongs_to_the_caller, ()),
        (FreezesItsViews, SUITE.test_views_select_chunks_and_grow, ()),
        (FreezesItsViews, SUITE.test_success_is_that_of_the_whole_episode, ()),
        (TakesAnything, SUITE.test_a_chunk_that_does_not_fit_is_refused_and_leaves_no_trace, ({"kind": "dream"},)),
        (ForgetsThatItIsClosed, SUITE.test_use_after_close_is_refused_and_close_may_come_twice, ()),
    ],
)
def test_the_suite_catches_a_storage_that(fault, test, arguments) -> None:
    is_caught(lambda: test(fault(), *arguments))
