"""What every environment id must do. An id, a robot or a kind of observation subclasses this in three lines:

    class TestMyArm(EnvSuite):
        id = "User/PegInsert-sim-v0"
        kwargs = {"robot": "arx-x5", "obs": "pixels"}

It knows Gymnasium, SB3 where that is installed, and docs/ids.md; no robot and no simulator.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterator
from contextlib import closing
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

import user_gym  # noqa: F401  (registers the ids)
from user_gym.errors import BadAction, Closed, NotReset
from user_gym.testing.compare import assert_same

STEP_INFO: dict[str, type | None] = {  # key -> its type; None: an array like an action
    "is_success": bool,
    "is_intervention": bool,
    "teleop_action": None,
    "executed_action": None,
    "safety_clipped": bool,
    "terminate_episode": bool,
    "rerecord_episode": bool,
    "discrete_penalty": float,
    "time": float,
}
RESET_INFO: dict[str, type | None] = {"is_success": bool, "is_intervention": bool, "time": float}


class EnvSuite:
    """Subclass it; the name of the subclass begins with Test.

    Attributes:
        id: as in gymnasium.make.
        kwargs: of gymnasium.make.
        deterministic: whether equal seeds give equal episodes; False on real robots.
        draws: whether render modes are tried; they need EGL.
        alone: whether only one environment at a time can have the robot; Gymnasium's checker makes a second one to render.
        extra_info: keys that this environment's info has besides those of docs/ids.md, such as a camera's capture time.
    """

    id = "User/PegInsert-sim-v0"
    kwargs: ClassVar[dict[str, Any]] = {}
    deterministic = True
    draws = True
    alone = False
    extra_info: ClassVar[frozenset[str]] = frozenset()

    def make(self, **more: Any) -> gymnasium.Env[Any, Any]:
        """A new environment."""
        return gymnasium.make(self.id, **self.kwargs, **more)

    def _seeded(self) -> gymnasium.Env[Any, Any]:
        """The checkers draw actions and reset without a seed; a failure must come back."""
        env = self.make()
        env.reset(seed=0)
        env.action_space.seed(0)
        return env

    @pytest.fixture
    def env(self) -> Iterator[gymnasium.Env[Any, Any]]:
        """Made, not reset."""
        env = self.make()
        yield env
        env.close()

    def test_gymnasiums_checker_finds_nothing(self) -> None:
        """Warnings count."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with closing(self._seeded()) as env:
                check_env(env.unwrapped, skip_render_check=self.alone or not self.draws)

    def test_sb3s_checker_finds_nothing(self) -> None:
        """Warnings count."""
        checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="comes with the extra 'sb3'")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with closing(self._seeded()) as env:
                checker.check_env(env)

    def test_spaces_are_one_level_finite_and_of_the_usual_types(self, env: gymnasium.Env[Any, Any]) -> None:
        """What SB3 and LeRobot take without a wrapper."""
        assert isinstance(env.observation_space, gymnasium.spaces.Dict)
        for space in env.observation_space.values():
            assert isinstance(space, gymnasium.spaces.Box)
            assert space.dtype in (np.float32, np.uint8)
            assert np.isfinite(space.low).all()
            assert np.isfinite(space.high).all()
            if space.dtype == np.uint8:
                assert len(space.shape) == 3
                assert min(space.shape[:2]) >= 36
                assert space.shape[2] == 3
        action = env.action_space
        assert isinstance(action, gymnasium.spaces.Box)
        assert action == gymnasium.spaces.Box(-1.0, 1.0, action.shape, np.float32)

    def test_observations_are_inside_their_space(self, env: gymnasium.Env[Any, Any]) -> None:
        """Also when pushed to the edges."""
        obs, _ = env.reset(seed=0)
        assert env.observation_space.contains(obs)
        for value in (1.0, -1.0):
            for _ in range(6):
                obs = env.step(np.full(env.action_space.shape or (), value, np.float32))[0]
                assert env.observation_space.contains(obs)

    def test_a_step_has_pythons_types_and_the_documented_info(self, env: gymnasium.Env[Any, Any]) -> None:
        """The keys of docs/ids.md, and no other that is not declared."""
        _, info = env.reset(seed=0)
        self._check_info(info, RESET_INFO, env)
        _, reward, terminated, truncated, info = env.step(self._still(env))
        assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
        self._check_info(info, STEP_INFO, env)
        assert info["is_intervention"] is False
        assert not hasattr(env.unwrapped, "compute_reward")

    def _check_info(self, info: dict[str, Any], documented: dict[str, type | None], env: gymnasium.Env[Any, Any]) -> None:
        assert info.keys() >= documented.keys(), f"missing: {documented.keys() - info.keys()}"
        undeclared = info.keys() - documented.keys() - self.extra_info
        assert not undeclared, f"undeclared: {undeclared}; add them to extra_info"
        shape = env.action_space.shape
        for key, kind in documented.items():
            if kind is None:
                assert (info[key].shape, info[key].dtype) == (shape, np.float32), key
            else:
                assert type(info[key]) is kind, key

    def test_what_was_handed_out_is_not_written_again(self, env: gymnasium.Env[Any, Any]) -> None:
        """Observation, info and their arrays are fresh each time."""
        kept = [env.reset(seed=0)]
        copies = [pickle.loads(pickle.dumps(kept[0]))]  # noqa: S301
        for _ in range(3):
            obs, _, _, _, info = env.step(env.action_space.sample())
            for old_obs, old_info in kept:
                assert obs is not old_obs
                assert info is not old_info
                assert not any(np.shares_memory(obs[key], old_obs[key]) for key in obs)
            kept.append((obs, info))
            copies.append(pickle.loads(pickle.dumps((obs, info))))  # noqa: S301
        env.reset()
        for k, (was, now) in enumerate(zip(copies, kept, strict=True)):
            assert_same(was, now, f"step {k}")

    def test_equal_seeds_give_equal_episodes(self) -> None:
        """Observation, reward, flags and info, in a new environment and in one that has been used."""
        if not self.deterministic:
            pytest.skip("a real robot does not repeat itself")
        with closing(self.make()) as one, closing(self.make()) as two:
            two.reset(seed=5)
            two.step(self._still(two))
            assert_same(self._episode(one, 3), self._episode(two, 3))
            a, b = one.reset(seed=4)[0], one.reset(seed=3)[0]
            assert not all(np.array_equal(a[key], b[key]) for key in a)

    def test_a_pickled_environment_does_the_same(self) -> None:
        """Before its first reset; SubprocVecEnv and AsyncVectorEnv send it so."""
        if not self.deterministic:
            pytest.skip("a real robot does not repeat itself")
        with closing(self.make()) as one, closing(pickle.loads(pickle.dumps(one))) as two:  # noqa: S301
            assert_same(self._episode(one, 1), self._episode(two, 1))

    def test_the_spec_survives_json(self) -> None:
        """As gymnasium stores it."""
        with closing(self.make()) as env:
            assert env.spec is not None
            text = env.spec.to_json()
            with closing(gymnasium.make(EnvSpec.from_json(text))) as again:
                assert again.spec is not None
                assert json.loads(text) == json.loads(again.spec.to_json())
                assert env.observation_space == again.observation_space

    def test_a_time_limit_truncates(self) -> None:
        """It never terminates."""
        with closing(self.make(max_episode_steps=3)) as env:
            env.reset(seed=0)
            ends = [env.step(self._still(env))[2:4] for _ in range(3)]
            assert ends == [(False, False), (False, False), (False, True)]

    def test_bad_actions_are_refused_and_nothing_moves(self, env: gymnasium.Env[Any, Any]) -> None:
        """BadAction says what is allowed; the next good step is as if nothing had happened."""
        env.reset(seed=0)
        good = self._still(env)
        size = len(good)
        bad: dict[str, Any] = {
            "nan": np.where(np.arange(size) == size - 1, np.nan, 0.0).astype(np.float32),
            "infinity": np.full(size, np.inf, np.float32),
            "shape": np.zeros(size + 1, np.float32),
            "batch": np.zeros((1, size), np.float32),
            "words": ["left"] * size,
            "none": None,
        }
        core: Any = env.unwrapped
        before = core.state
        for name, action in bad.items():
            with pytest.raises(BadAction, match="allowed") as error:
                core.step(action)
            assert core.state is before, f"{name} moved the robot: {error}"
        after = env.step(good)
        if self.deterministic:
            env.reset(seed=0)
            assert_same(after, env.step(good))

    def test_actions_of_other_number_types_are_the_same_action(self, env: gymnasium.Env[Any, Any]) -> None:
        """float64, integers and lists are converted."""
        size = len(self._still(env))
        results = []
        for action in (np.zeros(size), [0] * size, np.zeros(size, np.int64)):
            env.reset(seed=0)
            results.append(env.unwrapped.step(action)[0])
        if self.deterministic:
            assert_same(results[0], results[1])
            assert_same(results[0], results[2])

    def test_step_before_reset_is_refused(self, env: gymnasium.Env[Any, Any]) -> None:
        """The message names the cure."""
        with pytest.raises(NotReset, match=r"reset\(\)"):
            env.unwrapped.step(self._still(env))
        with pytest.raises(NotReset, match=r"reset\(\)"):
            env.unwrapped.render()

    def test_use_after_close_is_refused_and_close_may_come_twice(self, env: gymnasium.Env[Any, Any]) -> None:
        """Also a close before the first reset."""
        env.close()
        with closing(self.make()) as again:
            again.reset()
            again.close()
            again.close()
            for use in (lambda: again.step(self._still(again)), again.reset):
                with pytest.raises(Closed, match="make a new one"):
                    use()

    def test_it_draws(self) -> None:
        """A picture for people, that is not one colour and changes with the robot."""
        if not self.draws:
            pytest.skip("no pictures here")
        with closing(self.make(render_mode="rgb_array")) as env:
            env.reset(seed=0)
            first: Any = env.render()
            for _ in range(5):
                env.step(np.ones(env.action_space.shape or (), np.float32))
            second: Any = env.render()
        assert first.dtype == np.uint8
        assert first.ndim == 3
        assert first.shape[2] == 3
        assert first.std() > 10
        assert not np.array_equal(first, second)

    def _still(self, env: gymnasium.Env[Any, Any]) -> np.ndarray:
        return np.zeros(env.action_space.shape or (), np.float32)

    def _episode(self, env: gymnasium.Env[Any, Any], seed: int) -> list[Any]:
        rng = np.random.default_rng(seed)
        episode: list[Any] = [env.reset(seed=seed)]
        for _ in range(6):
            episode.append(env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)))
        episode.append(env.reset())
        return episode
