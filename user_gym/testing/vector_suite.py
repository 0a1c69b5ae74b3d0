"""What every vector environment must do: what Gymnasium's SyncVectorEnv makes of single ones, bit for bit. In three lines:

    class TestMyArms(VectorSuite):
        id = "User/PegInsert-sim-v0"
        kwargs = {"robot": "arx-x5"}

It knows Gymnasium and docs/ids.md; no robot and no simulator.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import closing
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import user_gym  # noqa: F401  (registers the ids)
from user_gym.errors import BadAction, BadOption, Closed, NotReset
from user_gym.testing.compare import assert_same

N = 3
LIMIT = 4  # steps of an episode where one has to end
NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
SOME = np.array([False, True, False])
Vector = Any  # a VectorEnv; Gymnasium types its seed as one number, and lets it be a list


class VectorSuite:
    """Subclass it; the name of the subclass begins with Test.

    Attributes:
        id: as in gymnasium.make_vec.
        kwargs: of gymnasium.make_vec and gymnasium.make.
        vector_kwargs: of gymnasium.make_vec only, such as threads.
    """

    id = "User/PegInsert-sim-v0"
    kwargs: ClassVar[dict[str, Any]] = {}
    vector_kwargs: ClassVar[dict[str, Any]] = {}

    def make(self, mode: AutoresetMode = NEXT, count: int = N, **more: Any) -> Vector:
        """The environment under test."""
        return gymnasium.make_vec(self.id, count, autoreset_mode=mode, **self.kwargs, **self.vector_kwargs, **more)

    def make_sync(self, mode: AutoresetMode = NEXT, count: int = N, **more: Any) -> Vector:
        """What it is compared with: single environments in Gymnasium's own vectoriser."""
        return gymnasium.make_vec(
            self.id, count, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **self.kwargs, **more
        )

    @pytest.fixture
    def env(self) -> Iterator[Vector]:
        """Of N, in the mode NextStep."""
        env = self.make()
        yield env
        env.close()

    def test_spaces_are_those_of_gymnasiums_vectoriser(self, env: Vector) -> None:
        """Single and batched."""
        with closing(self.make_sync()) as other:
            for name in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
                assert getattr(env, name) == getattr(other, name), name
            assert env.num_envs == other.num_envs

    @pytest.mark.parametrize("mode", [NEXT, SAME, DISABLED], ids=lambda mode: mode.value)
    def test_every_autoreset_mode_equals_gymnasiums_own_vectoriser(self, mode: AutoresetMode) -> None:
        """Through time limits that arms meet at different steps: observations, rewards, flags, infos."""
        with (
            closing(self.make(mode, max_episode_steps=LIMIT)) as a,
            closing(self.make_sync(mode, max_episode_steps=LIMIT)) as b,
        ):
            assert a.metadata["autoreset_mode"] is mode
            rng, cuts = np.random.default_rng(1), 0
            assert_same(a.reset(seed=[7, 9, 2]), b.reset(seed=[7, 9, 2]))
            for k in range(3 * LIMIT):
                if mode is DISABLED and k == 1:  # the second arm's episodes end one step after the others'
                    x, y = (v.reset(options={"reset_mask": SOME.copy()}) for v in (a, b))
                    assert_same(x, y, "reset of one")
                actions = self._actions(a, rng)
                x, y = a.step(actions), b.step(actions)
                assert_same(x, y, f"step {k}")
                done = np.asarray(x[2]) | np.asarray(x[3])
                cuts += done.sum()
                if mode is DISABLED and done.any():
                    x, y = (v.reset(options={"reset_mask": done.copy()}) for v in (a, b))
                    assert_same(x, y, f"reset after step {k}")
            assert cuts >= 4

    def test_a_row_equals_the_single_environment_with_its_seed(self, env: Vector) -> None:
        """seed + i for arm i; and the number of arms changes nothing."""
        actions = [self._actions(env, np.random.default_rng(k)) for k in range(5)]
        rows = [env.reset(seed=11)[0], *(env.step(action)[0] for action in actions)]
        for i in range(N):
            with closing(gymnasium.make(self.id, **self.kwargs)) as single:
                alone = [single.reset(seed=11 + i)[0], *(single.step(action[i])[0] for action in actions)]
            for k, (row, obs) in enumerate(zip(rows, alone, strict=True)):
                assert_same({key: value[i] for key, value in row.items()}, obs, f"arm {i}, step {k}")
        with closing(self.make(count=N + 2)) as more:
            many = [more.reset(seed=11)[0], *(more.step(np.concatenate([a, a[:2]]))[0] for a in actions)]
        for row, other in zip(rows, many, strict=True):
            assert_same(row, {key: value[:N] for key, value in other.items()})

    def test_an_arm_that_is_reset_alone_leaves_the_others_alone(self) -> None:
        """With and without a seed of its own."""
        with closing(self.make(DISABLED)) as env, closing(self.make(DISABLED)) as other:
            actions = self._actions(env, np.random.default_rng(0))
            for vector in (env, other):
                vector.reset(seed=0)
                vector.step(actions)
            fresh = env.reset(seed=[None, 8, None], options={"reset_mask": SOME.copy()})[0]
            with closing(self.make(count=1)) as one:
                first = one.reset(seed=8)[0]
            a, b = env.step(actions)[0], other.step(actions)[0]
            for key in a:
                assert np.array_equal(fresh[key][1], first[key][0])
                assert np.array_equal(a[key][~SOME], b[key][~SOME])
            assert not all(np.array_equal(a[key][SOME], b[key][SOME]) for key in a)

    def test_a_step_past_an_end_is_refused_without_autoreset(self) -> None:
        """NotReset."""
        with closing(self.make(DISABLED, max_episode_steps=1)) as env:
            env.reset(seed=0)
            actions = self._actions(env, np.random.default_rng(0))
            env.step(actions)
            with pytest.raises(NotReset):
                env.step(actions)

    @pytest.mark.parametrize(
        ("seed", "options"),
        [
            ([1, 2], {}),
            (0, {"reset_mask": [True, False, True]}),
            (0, {"reset_mask": np.array([1, 0, 1])}),
            (0, {"reset_mask": np.zeros(N, bool)}),
            (0, {"reset_mask": np.ones(N - 1, bool)}),
            (0, {"speed": 3}),
        ],
        ids=["seeds", "list", "integers", "nobody", "short", "unknown"],
    )
    def test_a_bad_reset_is_refused_and_changes_nothing(self, env: Vector, seed: Any, options: dict[str, Any]) -> None:
        """BadOption; no arm and no generator is touched."""
        env.reset(seed=0)
        with pytest.raises(BadOption):
            env.reset(seed=seed, options=options)
        self._as_if_nothing_had_happened(env)

    @pytest.mark.parametrize("bad", ["one row", "too wide", "nan", "words", "none"])
    def test_bad_actions_are_refused_and_nothing_moves(self, env: Vector, bad: str) -> None:
        """BadAction for all, though only one arm's is bad."""
        env.reset(seed=0)
        good = np.zeros(env.action_space.shape or (), np.float32)
        nan = good.copy()
        nan[N - 1, 0] = np.nan
        wrong = {
            "one row": good[0],
            "too wide": np.concatenate([good, good], axis=1),
            "nan": nan,
            "words": [["a"]] * N,
            "none": None,
        }
        with pytest.raises(BadAction, match="allowed"):
            env.step(wrong[bad])
        self._as_if_nothing_had_happened(env)

    def test_use_before_reset_and_after_close_is_refused(self) -> None:
        """NotReset, Closed; close may come twice."""
        env = self.make()
        actions = self._actions(env, np.random.default_rng(0))
        with pytest.raises(NotReset):
            env.step(actions)
        with pytest.raises(NotReset):
            env.reset(options={"reset_mask": SOME.copy()})
        env.reset()
        env.close()
        env.close()
        for use in (env.reset, lambda: env.step(actions)):
            with pytest.raises(Closed):
                use()

    def test_what_was_handed_out_is_not_written_again(self) -> None:
        """Through ends of episodes, with final observations."""
        with closing(self.make(SAME, max_episode_steps=2)) as env:
            rng = np.random.default_rng(0)
            kept: list[Any] = [env.reset(seed=0)]
            copies = [pickle.loads(pickle.dumps(kept[0]))]  # noqa: S301
            for _ in range(4):
                kept.append(env.step(self._actions(env, rng)))
                copies.append(pickle.loads(pickle.dumps(kept[-1])))  # noqa: S301
            env.reset()
        for k, (was, now) in enumerate(zip(copies, kept, strict=True)):
            assert_same(was, now, f"step {k}")

    def _actions(self, env: Vector, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)

    def _as_if_nothing_had_happened(self, env: Vector) -> None:
        actions = np.full(env.action_space.shape or (), 0.1, np.float32)
        with closing(self.make()) as fresh:
            fresh.reset(seed=0)
            assert_same(env.step(actions), fresh.step(actions))
            assert_same(env.reset(), fresh.reset())  # draws from the generators
