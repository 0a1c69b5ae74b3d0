"""Replay buffers of others behind one small interface, each used as its own documentation says.

They pin other versions than ours, so they run in interpreters of their own (benchmarks/buffer_child.py). Importing this needs
numpy only; a peer's packages are imported when it is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.buffer_content import ACTION, CAMERAS, PICTURE, STATE, Episode

Drawn = Mapping[str, Any]  # "state", "next_state", and with pictures "wrist", "next_wrist", ...: each (n, ...)


class Contestant(Protocol):
    """Made as `(folder, transitions, observations)`: where it may write, its capacity, and the names of observations."""

    packages: tuple[str, ...]  # what it imports: loaded before its memory is counted

    def add(self, episode: Episode) -> None:
        """Store one episode."""
        ...

    def sample(self, n: int) -> Drawn:
        """n transitions, uniform."""
        ...


def shapes(names: list[str]) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape and dtype of observations."""
    return {name: (PICTURE, np.uint8) if name in CAMERAS else ((STATE,), np.float32) for name in names}


class Sb3:
    """stable-baselines3: DictReplayBuffer, or ReplayBuffer where the state is all. In RAM, obs and next_obs both stored."""

    packages: tuple[str, ...] = ("torch", "gymnasium", "stable_baselines3.common.buffers")

    def __init__(self, folder: Path, transitions: int, names: list[str]) -> None:
        import torch
        from gymnasium import spaces
        from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer

        torch.set_num_threads(1)
        boxes: dict[str, Any] = {
            name: spaces.Box(*((0, 255) if dtype is np.uint8 else (-math.inf, math.inf)), shape, dtype)
            for name, (shape, dtype) in shapes(names).items()
        }
        actions = spaces.Box(-1, 1, (ACTION,), np.float32)
        self._plain = names == ["state"]
        if self._plain:
            self._buffer: Any = ReplayBuffer(transitions, boxes["state"], actions, "cpu")
        else:
            self._buffer = DictReplayBuffer(transitions, spaces.Dict(boxes), actions, "cpu")

    def add(self, episode: Episode) -> None:
        obs = episode.obs
        for t in range(len(episode)):
            if self._plain:
                before, after = obs["state"][t : t + 1], obs["state"][t + 1 : t + 2]
            else:
                before = {name: column[t : t + 1] for name, column in obs.items()}
                after = {name: column[t + 1 : t + 2] for name, column in obs.items()}
            steps, truncated = slice(t, t + 1), bool(episode.truncated[t])
            done = episode.terminated[steps] | episode.truncated[steps]
            infos = [{"TimeLimit.truncated": truncated}]
            self._buffer.add(before, after, episode.action[steps], episode.reward[steps], done, infos)

    def sample(self, n: int) -> Drawn:
        drawn = self._buffer.sample(n)
        if self._plain:
            return {"state": drawn.observations, "next_state": drawn.next_observations}
        return {**drawn.observations, **{f"next_{name}": column for name, column in drawn.next_observations.items()}}


class Torchrl:
    """torchrl's ReplayBuffer over TensorDicts, in RAM."""

    packages: tuple[str, ...] = ("torch", "torchrl.data", "tensordict")
    storage = "LazyTensorStorage"

    def __init__(self, folder: Path, transitions: int, names: list[str]) -> None:
        import torch
        import torchrl.data  # pyright: ignore[reportMissingImports]
        from tensordict import TensorDict  # pyright: ignore[reportMissingImports]

        torch.set_num_threads(1)
        options = {"scratch_dir": folder} if self.storage == "LazyMemmapStorage" else {}
        storage = getattr(torchrl.data, self.storage)(transitions, **options)
        self._buffer, self._torch, self._dict = torchrl.data.ReplayBuffer(storage=storage), torch, TensorDict

    def add(self, episode: Episode) -> None:
        numpy, steps = self._torch.from_numpy, len(episode)
        before = {name: numpy(column[:-1]) for name, column in episode.obs.items()}
        after: dict[str, Any] = {name: numpy(column[1:]) for name, column in episode.obs.items()}
        after |= {name: numpy(getattr(episode, name))[:, None] for name in ("reward", "terminated", "truncated")}
        after["done"] = after["terminated"] | after["truncated"]
        self._buffer.extend(
            self._dict({**before, "action": numpy(episode.action), "next": self._dict(after, [steps])}, [steps])
        )

    def sample(self, n: int) -> Drawn:
        drawn = self._buffer.sample(n)
        names = [name for name in (*CAMERAS, "state") if name in drawn.keys()]  # noqa: SIM118  a TensorDict iterates over rows
        return {**{name: drawn[name] for name in names}, **{f"next_{name}": drawn["next", name] for name in names}}


class TorchrlMemmap(Torchrl):
    """The same on memory-mapped files."""

    storage = "LazyMemmapStorage"


class Cpprb:
    """cpprb's ReplayBuffer, in RAM; next observations are shared with observations (`next_of`)."""

    packages: tuple[str, ...] = ("cpprb",)

    def __init__(self, folder: Path, transitions: int, names: list[str]) -> None:
        import cpprb  # pyright: ignore[reportMissingImports]

        columns: dict[str, Any] = {name: {"shape": shape, "dtype": dtype} for name, (shape, dtype) in shapes(names).items()}
        columns |= {"action": {"shape": ACTION}, "reward": {}, "done": {}}
        self._names, self._buffer = names, cpprb.ReplayBuffer(transitions, columns, next_of=tuple(names))

    def add(self, episode: Episode) -> None:
        obs = {name: column[:-1] for name, column in episode.obs.items()}
        obs |= {f"next_{name}": column[1:] for name, column in episode.obs.items()}
        self._buffer.add(**obs, action=episode.action, reward=episode.reward, done=episode.terminated)
        self._buffer.on_episode_end()

    def sample(self, n: int) -> Drawn:
        return self._buffer.sample(n)


class LeRobot:
    """LeRobot's ReplayBuffer, in RAM; it keeps everything in float32, so one batch is four times the bytes counted here."""

    packages: tuple[str, ...] = ("torch", "lerobot.rl.buffer")

    def __init__(self, folder: Path, transitions: int, names: list[str]) -> None:
        import torch
        from lerobot.rl.buffer import ReplayBuffer  # pyright: ignore[reportMissingImports]

        torch.set_num_threads(1)
        self._torch, self._names = torch, names
        self._buffer = ReplayBuffer(transitions, "cpu", names, use_drq=False, storage_device="cpu", optimize_memory=True)

    def add(self, episode: Episode) -> None:
        numpy = self._torch.from_numpy
        rows = [
            {name: numpy(column[t : t + 1]).float() for name, column in episode.obs.items()} for t in range(len(episode) + 1)
        ]
        for t in range(len(episode)):
            ends = bool(episode.terminated[t]), bool(episode.truncated[t])
            self._buffer.add(rows[t], numpy(episode.action[t]), float(episode.reward[t]), rows[t + 1], *ends)

    def sample(self, n: int) -> Drawn:
        drawn = self._buffer.sample(n)
        return {**drawn["state"], **{f"next_{name}": column for name, column in drawn["next_state"].items()}}


class Memmap:
    """What many write themselves: one np.memmap per column, observations once (T + 1 rows), fancy indexing, no index file."""

    packages: tuple[str, ...] = ()

    def __init__(self, folder: Path, transitions: int, names: list[str]) -> None:
        rows = transitions + transitions // 2 + 1000  # room for one more row per episode
        columns = {**shapes(names), "action": ((ACTION,), np.float32), "reward": ((), np.float32), "done": ((), np.bool_)}
        self._columns = {
            name: np.memmap(folder / name, dtype, "w+", shape=(rows, *shape)) for name, (shape, dtype) in columns.items()
        }
        self._names, self._row, self._starts, self._count = names, 0, np.empty(rows, np.int64), 0
        self._rng = np.random.default_rng(0)

    def add(self, episode: Episode) -> None:
        steps, row = len(episode), self._row
        for name, column in episode.obs.items():
            self._columns[name][row : row + steps + 1] = column
        for name, column in (("action", episode.action), ("reward", episode.reward), ("done", episode.terminated)):
            self._columns[name][row : row + steps] = column
        self._starts[self._count : self._count + steps] = np.arange(row, row + steps)
        self._row, self._count = row + steps + 1, self._count + steps

    def sample(self, n: int) -> Drawn:
        rows = self._starts[self._rng.integers(0, self._count, n)]
        drawn: dict[str, NDArray[Any]] = {name: self._columns[name][rows] for name in ("action", "reward", "done")}
        for name in self._names:
            drawn[name], drawn[f"next_{name}"] = self._columns[name][rows], self._columns[name][rows + 1]
        return drawn


PEERS: Mapping[str, type[Contestant]] = {
    "SB3": Sb3,
    "torchrl RAM": Torchrl,
    "torchrl memmap": TorchrlMemmap,
    "cpprb": Cpprb,
    "LeRobot": LeRobot,
}
