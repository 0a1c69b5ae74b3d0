"""A Gymnasium VectorEnv as a Stable-Baselines3 VecEnv. It knows the two interfaces, no robot and no algorithm.

    from user_gym.integrations.sb3 import make_vec_env
    SAC("MultiInputPolicy", make_vec_env("User/PegInsert-sim-v0", n_envs=4, threads=2)).learn(10_000)

Both sides then see what they would see with SB3's DummyVecEnv over single environments, bit for bit.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from user_gym.errors import BadOption, MissingExtra, NotReset

try:
    from stable_baselines3.common.env_util import is_wrapped
    from stable_baselines3.common.vec_env import VecEnv
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("stable_baselines3", "torch"):
        raise
    raise MissingExtra((error.name or "").partition(".")[0], "sb3") from error


class RobotVecEnv(VecEnv):
    """Steps a VectorEnv that resets in the same step.

    `reset` uses the seeds and options given by `seed` and `set_options`, each environment its own, once. Wrap it in SB3's
    VecMonitor for episode statistics.

    Args:
        env: its autoreset mode is SAME_STEP.

    Raises:
        BadOption: another autoreset mode: SB3 expects the observation after a reset in the step that ended the episode.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise BadOption(
                "autoreset_mode",
                getattr(mode, "value", mode),
                "SameStep",
                "use gym.make_vec(id, ..., autoreset_mode='SameStep'), or user_gym.integrations.sb3.make_vec_env(id, n_envs)",
            )
        self.env: Any = env  # Gymnasium types neither its lists of seeds nor get_attr and call
        self._envs: Any = getattr(env.unwrapped, "envs", None)  # where each environment is an object of this process
        self._actions: np.ndarray | None = None
        self._begun = False
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        """Begin all episodes; returns the observations alone. `reset_infos` has the infos.

        Options that are refused are forgotten, as those that were used: the next reset starts without. Seeds stay.
        """
        try:
            obs = self._reset_by_options()
        finally:
            self._reset_options()
        self._begun = True
        self._actions = None
        self._reset_seeds()
        return obs

    def _reset_by_options(self) -> Any:
        """Reset all; environments with equal options together."""
        groups: dict[bytes, list[int]] = {}
        for i, options in enumerate(self._options):
            groups.setdefault(pickle.dumps(options) if options else b"", []).append(i)
        obs = None
        if len(groups) > 1 and not self._begun:
            self.env.reset(seed=self._seeds)  # a first reset of some environments only is not possible
        for rows in groups.values():
            mask = np.zeros(self.num_envs, bool)
            mask[rows] = True
            options = dict(self._options[rows[0]]) | ({} if mask.all() else {"reset_mask": mask})
            obs, info = self.env.reset(seed=self._seeds, options=options or None)
            for i in rows:
                self.reset_infos[i] = _row(info, i)
        return obs

    def step_async(self, actions: np.ndarray) -> None:
        """Dispatch the actions; environments in other processes begin to move."""
        self._actions = actions
        dispatch = getattr(self.env, "step_async", None)
        if dispatch is not None:
            dispatch(actions)

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Gather what the step led to. Raises NotReset if no step was dispatched."""
        if self._actions is None:
            raise NotReset("step_wait without step_async; call step_async(actions) after reset()")
        actions, self._actions = self._actions, None
        gather = getattr(self.env, "step_wait", None)
        obs, rewards, terminated, truncated, info = self.env.step(actions) if gather is None else gather()
        done = terminated | truncated
        last = info.pop("final_info", {})
        final = info.pop("final_obs", None)
        for key in ("_final_info", "_final_obs"):
            info.pop(key, None)
        infos = []
        for i in range(self.num_envs):
            row = _row(last if done[i] else info, i)
            row["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
            if done[i]:
                assert final is not None  # SAME_STEP
                row["terminal_observation"] = final[i]
                self.reset_infos[i] = _row(info, i)
            infos.append(row)
        return obs, rewards.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the VectorEnv; may be called twice."""
        self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """One picture of each environment, or None where they do not draw."""
        pictures: Any = self.env.render()
        return [None] * self.num_envs if pictures is None else list(pictures)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each environment."""
        if self._envs is not None:
            return [self._envs[i].get_wrapper_attr(attr_name) for i in self._get_indices(indices)]
        values = self.env.get_attr(attr_name)
        return [values[i] for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute. Raises BadOption where the environments share it and `indices` names only some of them."""
        rows = set(self._get_indices(indices))
        if self._envs is not None:
            for i in rows:
                setattr(self._envs[i], attr_name, value)
            return
        if len(rows) == self.num_envs:
            values = [value] * self.num_envs
        else:
            values = [value if i in rows else old for i, old in enumerate(self.get_attr(attr_name))]
        self.env.set_attr(attr_name, values)

    def env_method(self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any) -> list[Any]:
        """Call a method; the answers of `indices`. Environments that are one object, or in other processes, are all called."""
        rows = list(self._get_indices(indices))
        if self._envs is not None:
            return [self._envs[i].get_wrapper_attr(method_name)(*method_args, **method_kwargs) for i in rows]
        answers = self.env.call(method_name, *method_args, **method_kwargs)
        return [answers[i] for i in rows]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether each environment is wrapped; False where it cannot be, being a row of a batch."""
        envs = self._envs
        return [envs is not None and is_wrapped(envs[i], wrapper_class) for i in self._get_indices(indices)]


def make_vec_env(id: str, n_envs: int = 1, seed: int | None = None, **options: Any) -> RobotVecEnv:
    """Build an id's VectorEnv with SAME_STEP and adapt it.

    Args:
        id: as in gymnasium.make_vec.
        n_envs: number of environments.
        seed: of the first reset; environment i gets seed + i. Also of the sampling of actions.
        **options: of gymnasium.make_vec, such as `robot=`, `threads=`, or `vectorization_mode="async"`.
    """
    if options.get("vectorization_mode") in ("sync", "async"):
        vector_kwargs = dict(options.pop("vector_kwargs", None) or {}, autoreset_mode=AutoresetMode.SAME_STEP)
        env = gymnasium.make_vec(id, n_envs, vector_kwargs=vector_kwargs, **options)
    else:
        env = gymnasium.make_vec(id, n_envs, autoreset_mode=AutoresetMode.SAME_STEP.value, **options)
    adapted = RobotVecEnv(env)
    if seed is not None:
        adapted.seed(seed)
        adapted.action_space.seed(seed)
    return adapted


def _row(info: dict[str, Any], i: int) -> dict[str, Any]:
    """One environment's info out of a batched one, with the types that a single environment gives."""
    row: dict[str, Any] = {}
    for key, value in info.items():
        if f"_{key}" in info and info[f"_{key}"][i]:
            row[key] = _row(value, i) if isinstance(value, dict) else _plain(value[i])
    return row


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value.copy() if isinstance(value, np.ndarray) else value
