"""Synchronous runs repeat bit for bit, asynchronous ones keep the ratio, and both end whole."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from toy_training import Toy, ToyAgent, chunk

from user_gym.errors import BadOption, RobotFault
from user_gym.system import Buffer, Counters, Mixture, SamplesPerInsert, spec_hash, train

MEMORY = ":memory:"


class Recording(Buffer):
    """Remembers all it is given."""

    def append(self, chunk):
        self.seen = [*getattr(self, "seen", []), chunk]
        return super().append(chunk)


@pytest.fixture(autouse=True)
def _closed(monkeypatch):
    """Buffers that a test opens end with it."""
    opened, open_ = [], Buffer.open.__func__
    monkeypatch.setattr(Buffer, "open", classmethod(lambda cls, *a, **k: opened.append(open_(cls, *a, **k)) or opened[-1]))
    yield
    for buffer in opened:
        buffer.close()


def run(agent=None, env=None, storage=None, **options):
    agent, storage = agent or ToyAgent(), Recording.open(MEMORY) if storage is None else storage
    options = {"steps": 300, "batch_size": 16, **options}
    return train(env or Toy(), agent, storage, **options), agent, storage


def collectors_alive():
    return [t for t in threading.enumerate() if t.name == "collector"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"updates_per_step": 2.5, "publish_every": 3, "random_steps": 30, "learning_starts": 40},
        {"updates_per_step": 0.3, "max_seconds": 0.4},
        {"max_seconds": 0.1, "learning_starts": 200},  # one step a chunk: the queue is full before learning starts
    ],
)
def test_synchronous_runs_with_equal_seeds_are_equal_bit_for_bit(options):
    (one, first, a), (two, second, b) = (run(seed=5, **options) for _ in range(2))
    assert one.counters == two.counters
    assert first.mean.tobytes() == second.mean.tobytes()
    assert len(a.seen) == len(b.seen)
    for c, d in zip(a.seen, b.seen, strict=True):
        for name in ("action", "reward", "policy_version", "truncated"):
            assert getattr(c, name).tobytes() == getattr(d, name).tobytes()
        assert c.obs["obs"].tobytes() == d.obs["obs"].tobytes()
    _, third, _ = run(seed=6, **options)
    assert third.mean.tobytes() != first.mean.tobytes()


def test_in_a_synchronous_run_each_chunk_is_made_by_the_newest_weights():
    _, _, storage = run(max_seconds=0.5)
    for c in storage.seen:
        assert set(c.policy_version.tolist()) == {c.episode * 10 + c.sequence * 5}


def test_both_modes_learn_the_toy():
    for options in ({}, {"synchronous": False, "tolerance": 20.0}):
        result, agent, _ = run(agent=ToyAgent(rate=0.1), steps=600, **options)
        assert agent.mean[0] == pytest.approx(0.5, abs=0.15)
        assert result.progress.mean_return > -1.0  # the first episodes get -2.6


@pytest.mark.parametrize("tolerance", [0.0, 7.0, 50.0])
def test_an_asynchronous_run_ends_within_its_tolerance(tolerance):
    result, _, storage = run(synchronous=False, tolerance=tolerance, updates_per_step=2, learning_starts=50)
    assert len(storage) == result.counters.env_steps == result.progress.env_steps == 300
    assert abs(result.counters.updates - 2 * 250) <= tolerance
    assert not result.interrupted


def test_a_free_run_ends_with_the_collector():
    result, _, storage = run(synchronous=False, tolerance=math.inf)
    assert len(storage) == 300
    assert result.counters.updates < 300 or result.progress.ratio >= 1


def test_a_failing_environment_is_raised_in_the_caller_and_every_step_is_kept():
    class Broken(Toy):
        def step(self, action):
            if self.n == 4 and self.x is not None and getattr(self, "episodes", 0) == 2:
                raise RuntimeError("cable")
            return super().step(action)

        def reset(self, *, seed=None, options=None):
            self.episodes = getattr(self, "episodes", -1) + 1
            return super().reset(seed=seed)

    storage = Buffer.open(":memory:")
    with pytest.raises(RuntimeError, match="cable"):
        run(env=Broken(), storage=storage)
    assert len(storage) == 24
    assert not collectors_alive()


def test_a_failing_agent_ends_the_collector():
    class Broken(ToyAgent):
        def update(self, batch):
            raise ArithmeticError("nan")

    for options in ({}, {"synchronous": False}):
        with pytest.raises(ArithmeticError, match="nan"):
            run(agent=Broken(), **options)
        assert not collectors_alive()


@pytest.mark.parametrize("synchronous", [True, False])
def test_the_stop_event_ends_a_run_with_everything_stored(synchronous):
    stop = threading.Event()
    storage = Recording.open(MEMORY)
    result, _, _ = run(
        storage=storage, steps=10**9, synchronous=synchronous, stop=stop, progress_every=100, on_progress=lambda p: stop.set()
    )
    assert result.interrupted
    assert 100 <= len(storage) == result.counters.env_steps
    assert not collectors_alive()


def test_ctrl_c_ends_a_run_with_everything_stored():
    before = signal.getsignal(signal.SIGINT)
    result, _, storage = run(steps=10**9, progress_every=100, on_progress=lambda p: os.kill(os.getpid(), signal.SIGINT))
    assert result.interrupted
    assert len(storage) == result.counters.env_steps
    assert signal.getsignal(signal.SIGINT) is before
    assert not collectors_alive()


def test_a_second_ctrl_c_is_raised():
    def twice(progress):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)  # to this thread: two that another thread gets at once may be one

    with pytest.raises(KeyboardInterrupt):
        run(steps=10**9, progress_every=100, on_progress=twice)
    assert not collectors_alive()


def test_progress_comes_about_every_so_many_steps():
    seen, metrics = [], []
    run(progress_every=100, on_progress=seen.append, on_metrics=lambda n, m: metrics.append(n))
    assert [p.env_steps for p in seen] == [100, 200, 300]
    assert seen[1].episodes == 20
    assert 0 <= seen[1].success_rate <= 1
    assert seen[1].metrics.keys() == {"mean"}
    assert metrics == list(range(1, 301))
    seen.clear()
    run(start=Counters(150, 15, 150, 150), progress_every=100, on_progress=seen.append)  # where an uninterrupted run looks, too
    assert [p.env_steps for p in seen] == [200, 300]


def test_in_a_synchronous_run_a_look_comes_at_the_end_of_the_learners_turn(monkeypatch):
    counted = SamplesPerInsert.insert

    def late(self, n, timeout=None):
        time.sleep(0.002)  # a chunk that is stored, and not counted yet
        counted(self, n, timeout)

    monkeypatch.setattr(SamplesPerInsert, "insert", late)
    seen = []
    run(steps=200, learning_starts=20, updates_per_step=2, progress_every=10, on_progress=seen.append)
    assert [(p.env_steps, p.updates) for p in seen if p.updates] == [(n, 2 * (n - 20)) for n in range(30, 210, 10)]


def test_progress_tells_the_version_that_was_published_last_and_metrics_of_its_own():
    kept, seen = {}, []

    class Reusing(ToyAgent):
        def update(self, batch):
            kept.update(super().update(batch))
            return kept

    start = Counters(version=40)
    result, _, _ = run(Reusing(), steps=200, progress_every=100, on_progress=seen.append, publish_every=2, start=start)
    assert [p.version for p in seen] == [41 + p.updates // 2 for p in seen]
    assert result.progress.version == result.counters.version == 41 + 100
    assert seen[0].metrics != seen[1].metrics


def test_a_run_goes_on_from_its_counters():
    storage, agent = Recording.open(MEMORY), ToyAgent()
    first, _, _ = run(agent, storage=storage, steps=105, learning_starts=20)
    assert first.counters == Counters(105, 11, 85, 85)
    second, _, _ = run(agent, storage=storage, steps=300, learning_starts=20, start=first.counters)
    assert second.counters.env_steps == len(storage) == 300
    assert second.counters.updates == 280
    assert len({(c.episode, c.sequence) for c in storage.seen}) == len(storage.seen)
    versions = np.concatenate([c.policy_version for c in storage.seen])
    assert (np.diff(versions) >= 0).all()


def test_a_run_that_goes_on_without_its_experience_ends_too():
    for synchronous in (True, False):
        result, _, storage = run(steps=200, start=Counters(150, 15, 150, 150), synchronous=synchronous)
        assert len(storage) == 50
        assert result.counters.env_steps == 200
    assert run(steps=200, start=Counters(200, 20, 150, 150))[0].counters.updates == 150


def test_a_run_that_goes_on_explores_with_other_noise():
    kept = []
    for start in (Counters(), Counters(), Counters(100, 10, 100, 100)):
        kept.append(run(steps=start.env_steps + 100, start=start)[2])
    noise = [np.concatenate([c.action for c in storage.seen[:1]]) for storage in kept]
    np.testing.assert_array_equal(noise[0], noise[1])
    steady = np.corrcoef(noise[0][:, 0], noise[2][:, 0])[0, 1]
    assert abs(steady) < 0.9  # the toy's mean moves the action as a whole; equal noise would correlate by 1


def test_faults_are_counted_and_the_run_goes_on():
    class Faulty(Toy):
        def step(self, action):
            if self.n == 4 and self.x[0] > 0:
                raise RobotFault("reflex")
            return super().step(action)

    result, _, storage = run(env=Faulty(), seed=1, max_faults=20)
    assert result.counters.env_steps == len(storage) == 300
    assert result.progress.faults == sum(c.truncated[-1] and len(c) == 4 for c in storage.seen) > 0


def test_experience_says_where_it_comes_from():
    class Knowing(ToyAgent):
        def __init__(self):
            super().__init__(horizon=3)
            act = self.policy.act
            self.policy.act = lambda obs: replace(act(obs), extra={"index": np.arange(3)})

    env = gymnasium.wrappers.TimeLimit(Toy(), 10)
    env.unwrapped.spec = gymnasium.envs.registration.EnvSpec("Toy-v0", entry_point=Toy)
    _, _, storage = run(Knowing(), env, steps=20, random_steps=2, clock="robot", extra={"index": np.int64(-1)})
    one, two = storage.seen
    assert (one.env_id, one.clock) == ("Toy-v0", "robot")
    assert one.spec_hash == spec_hash(Toy.observation_space, Toy.action_space)
    assert one.extra["index"].tolist() == [-1, -1, 0, 1, 2, 0, 1, 2, 0, 1]
    assert two.extra["index"].tolist() == [0, 1, 2] * 3 + [0]
    batch = storage.sample(1000, np.random.default_rng(0))
    kept = {(float(c.reward[i]), int(c.extra["index"][i])) for c in storage.seen for i in range(10)}
    assert set(zip(batch.reward.tolist(), batch.extra["index"].tolist(), strict=True)) == kept
    assert len(storage.view("env_id = 'Toy-v0'")) == 20


def test_the_hash_of_spaces_sees_names_shapes_and_bounds_but_no_order():
    box = gymnasium.spaces.Box
    one = {"a": box(-1, 1, (2,)), "b": box(0, 255, (4, 4, 3), np.uint8)}
    action = box(-1, 1, (6,))
    spaces = [
        one,
        {"a": one["a"]},
        {"c": one["a"], "b": one["b"]},
        one | {"a": box(-1, 2, (2,))},
        one | {"a": box(-1, 1, (1, 2))},
    ]
    hashes = [spec_hash(gymnasium.spaces.Dict(s), action) for s in spaces]
    assert len({*hashes, spec_hash(gymnasium.spaces.Dict(one), one["a"])}) == 6
    assert spec_hash(gymnasium.spaces.Dict(dict(reversed(one.items()))), action) == hashes[0]
    assert spec_hash(gymnasium.spaces.Dict({"s": gymnasium.spaces.Dict(one)}), action) not in hashes


def test_the_policy_that_acts_is_not_the_learners_own():
    _, agent, _ = run()
    assert agent.policy.version == -1


def test_a_mixture_of_demonstrations_and_experience_is_a_sampler():
    storage, sizes = Buffer.open(":memory:"), []
    demo = chunk(5, source="human", kind="demo", obs={"obs": np.zeros((6, 2), np.float32)})
    storage.append(demo)

    class Watching(ToyAgent):
        def update(self, batch):
            sizes.append((len(batch.reward), int((~batch.obs["obs"].any(axis=1)).sum())))
            return super().update(batch)

    parts = [(storage.view("kind = 'demo'"), 0.5), (storage.view("kind = 'policy'"), 0.5)]
    run(Watching(), storage=storage, steps=50, sampler=Mixture(parts, batch_size=20))
    assert set(sizes) == {(20, 10)}


def test_options_outside_what_is_allowed_are_refused():
    for options in ({"steps": 5, "start": Counters(10)}, {"progress_every": 0}, {"batch_size": 0}, {"publish_every": 2.5}):
        with pytest.raises(BadOption):
            run(**options)


def test_importing_the_system_is_light():
    code = "import sys, user_gym.system; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout.split()
    heavy = {"torch", "mujoco", "grpc", "sqlite_utils", "user_gym.env", "user_gym.tasks", "user_gym.robots", "user_gym.sim"}
    assert not heavy & set(loaded)
