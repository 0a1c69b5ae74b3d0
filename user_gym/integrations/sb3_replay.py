"""A persistent buffer as Stable-Baselines3's replay buffer. It knows no algorithm; the agent is not changed.

    model = SAC("MultiInputPolicy", env, replay_buffer_class=PersistentReplayBuffer,
                replay_buffer_kwargs={"folder": "runs/sac/buffer"})
    model.learn(10_000)

What the agent sees is kept as it comes, survives the process, and is sampled together with all else that is there of the same
spaces: demonstrations, earlier runs, what collectors add meanwhile to `model.replay_buffer.buffer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray

from user_gym.core import Batch, Storage
from user_gym.errors import BadOption, Closed, MissingExtra
from user_gym.system import Buffer, ChunkBuilder, spec_hash

try:
    import torch
    from stable_baselines3.common.buffers import ReplayBuffer
    from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
    from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples
    from stable_baselines3.common.vec_env import VecNormalize
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("stable_baselines3", "torch"):
        raise
    raise MissingExtra((error.name or "").partition(".")[0], "sb3") from error

Sampler = Callable[[Storage, int, np.random.Generator], Batch]
_OWN = 0  # version of the steps that SB3 itself collected: it does not count its policies
_ONE = "obs"  # the column of an observation that is no dict, as collectors name it


class PersistentReplayBuffer(ReplayBuffer):
    """Keeps and draws the transitions of off-policy agents in a `Buffer`.

    It is opened when it is first used. Steps are stored as chunks of up to `chunk_seconds`, and sampled from then on; `close`
    stores what is left. SB3's `save_replay_buffer` is not needed, and refused: the folder is the buffer.

    Args:
        buffer_size: most transitions kept; then the oldest leave.
        observation_space: as the agent's environment has it.
        action_space: a Box in [-1, 1], as all of ours are.
        device: where batches go.
        n_envs: how many environments `add` is told of at once.
        optimize_memory_usage: has no meaning here: an observation is never stored twice.
        handle_timeout_termination: must be True: a truncated step bootstraps.
        folder: of the buffer, made if it is not there; ":memory:" for one that ends with the process.
        robot: written into each chunk.
        task: written into each chunk.
        source: name of who collects here; environment i is "<source>-<i>".
        chunk_seconds: s of robot time; 0.1 s a step where the environment does not say.
        sampler: (steps of these spaces, n, random numbers) -> a batch of n; None: uniform.

    Raises:
        BadOption: another action space, or no handling of time limits.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        *,
        folder: str | Path,
        robot: str = "",
        task: str = "",
        source: str = "sb3",
        chunk_seconds: float = 1.0,
        sampler: Sampler | None = None,
    ) -> None:
        super(ReplayBuffer, self).__init__(buffer_size, observation_space, action_space, device, n_envs)  # it would allocate
        unit = (
            isinstance(action_space, gymnasium.spaces.Box) and (action_space.low == -1).all() and (action_space.high == 1).all()
        )
        if not unit:
            raise BadOption("action space", action_space, "a Box in [-1, 1]", "use gymnasium.wrappers.RescaleAction")
        if not handle_timeout_termination:
            raise BadOption("handle_timeout_termination", False, "True: what is stored says whether a step was truncated")
        self.optimize_memory_usage, self.handle_timeout_termination = False, True
        spaces = observation_space.spaces if isinstance(observation_space, gymnasium.spaces.Dict) else {_ONE: observation_space}
        # SB3 turns pictures of an environment (h, w, c) to (c, h, w); they are stored as they came.
        self._turned = {key for key, space in spaces.items() if _is_turned(space)}
        self._keys, self._is_dict = tuple(spaces), isinstance(observation_space, gymnasium.spaces.Dict)
        self._stored = {key: _unturned(space) if key in self._turned else space for key, space in spaces.items()}
        seen = gymnasium.spaces.Dict(self._stored) if self._is_dict else self._stored[_ONE]
        self.spec_hash: str = spec_hash(seen, action_space)
        self._folder, self._sampler = folder, sampler or _uniform
        self._builders = [
            ChunkBuilder(f"{source}-{i}", robot, task, max_seconds=chunk_seconds, spec_hash=self.spec_hash)
            for i in range(n_envs)
        ]
        self._sources = [f"{source}-{i}" for i in range(n_envs)]
        self._episodes = [-1] * n_envs  # of each environment now
        self._running = [False] * n_envs
        self._rng = np.random.default_rng(np.random.randint(2**31))  # SB3 seeds numpy's own
        self._buffer: Buffer | None = None
        self._closed = False
        self._handed: Batch | None = None

    @property
    def buffer(self) -> Buffer:
        """The buffer, open. Raises Closed, and what Buffer.open does."""
        if self._closed:
            raise Closed(f"the replay buffer of {self._folder} is closed")
        if self._buffer is None:
            self._buffer = Buffer.open(self._folder, capacity=self.buffer_size, durability="kill")
            self._steps = self._buffer.view(f"spec_hash = '{self.spec_hash}'")
            self._episodes = [_last_episode(self._buffer, source) for source in self._sources]
        return self._buffer

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: list[dict[str, Any]]) -> None:
        """A step of each environment, as SB3 tells it: `next_obs` of one that is over is its last observation."""
        buffer = self.buffer
        for i, info in enumerate(infos):
            if not self._running[i]:
                self._episodes[i] += 1
                self._builders[i].start(self._row(obs, i), self._episodes[i])
            truncated = bool(info.get("TimeLimit.truncated", False))
            over = bool(done[i])
            self._running[i] = not over
            chunk = self._builders[i].add(
                np.asarray(action[i], np.float32).reshape(self.action_dim), float(reward[i]), over and not truncated,
                truncated, info, self._row(next_obs, i), _OWN,
            )  # fmt: skip
            if chunk is not None:
                buffer.append(chunk)

    def hand(self, batch: Batch | None) -> None:
        """What the next `sample` gives instead of a draw of its own; None: nothing."""
        self._handed = batch

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Transitions of these spaces. Raises BadOption where there are none yet."""
        batch, self._handed = self._handed, None
        if batch is None:
            steps = self._view()
            if not len(steps):
                self._flush()  # an agent may learn before the first chunk is whole
            batch = self._sampler(steps, batch_size, self._rng)
        rewards = self._normalize_reward(batch.reward.reshape(-1, 1), env)
        samples = DictReplayBufferSamples if self._is_dict else ReplayBufferSamples
        return cast(
            "ReplayBufferSamples",
            samples(
                observations=self._seen(batch.obs, env),
                actions=self.to_torch(batch.ordered),
                next_observations=self._seen(batch.next_obs, env),
                dones=self.to_torch(batch.terminated.astype(np.float32).reshape(-1, 1)),
                rewards=self.to_torch(rewards),
            ),
        )

    def size(self) -> int:
        """Transitions of these spaces that can be drawn."""
        return len(self._view())

    def reset(self) -> None:
        """Refused: what is kept is not thrown away by the way. Raises BadOption."""
        raise BadOption("reset", self._folder, "nothing of a persistent buffer", "remove its folder, or choose another")

    def close(self) -> None:
        """Store the steps that are no whole chunk yet, and let go of the files; may be called twice."""
        if self._buffer is not None:
            self._flush()
            self._buffer.close()
        self._buffer, self._closed = None, True

    def __getstate__(self) -> dict[str, Any]:
        cure = f"its folder {self._folder} is what is kept: open that again"
        raise BadOption("pickle", "PersistentReplayBuffer", "none", cure)

    def _flush(self) -> None:
        for builder in self._builders:
            rest = builder.flush()
            if rest is not None:
                self.buffer.append(rest)

    def _view(self) -> Storage:
        _ = self.buffer
        return self._steps

    def _row(self, obs: Any, i: int) -> dict[str, NDArray[Any]]:
        """The observation of one environment, as it is stored."""
        rows = {key: np.asarray(obs[key][i] if self._is_dict else obs[i]) for key in self._keys}
        return {key: row.transpose(1, 2, 0) if key in self._turned else row for key, row in rows.items()}

    def _seen(self, obs: Mapping[str, NDArray[Any]], env: VecNormalize | None) -> Any:
        """Stored observations (n, ...) as the agent takes them."""
        turned = {key: obs[key].transpose(0, 3, 1, 2) if key in self._turned else obs[key] for key in self._keys}
        if self._is_dict:
            normal: Any = self._normalize_obs(turned, env)
            return {key: self.to_torch(value) for key, value in normal.items()}
        return self.to_torch(cast("NDArray[Any]", self._normalize_obs(turned[_ONE], env)))


def _uniform(steps: Storage, n: int, rng: np.random.Generator) -> Batch:
    return steps.sample(n, rng)


def _last_episode(buffer: Buffer, source: str) -> int:
    numbers = buffer.view(f"source = '{source}'").numbers()
    return buffer.chunk(int(numbers[-1])).episode if len(numbers) else -1


def _is_turned(space: gymnasium.Space[Any]) -> bool:
    return isinstance(space, gymnasium.spaces.Box) and is_image_space(space) and is_image_space_channels_first(space)


def _unturned(space: gymnasium.Space[Any]) -> gymnasium.spaces.Box:
    box = cast("gymnasium.spaces.Box", space)
    return gymnasium.spaces.Box(box.low.transpose(1, 2, 0), box.high.transpose(1, 2, 0), dtype=np.uint8)
