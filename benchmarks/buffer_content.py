"""The experience that all contestants store: episodes of the shipped environment, the same bytes for everyone.

Pictures are rendered once and kept as .npy files; longer experience repeats their episodes, with other noise where it has any
(every codec here looks no further than one second back, so a repetition later gains nobody anything). Reading needs numpy
only, because peers run in interpreters of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CAMERAS = ("wrist", "side")
PICTURE = (128, 128, 3)
STATE, ACTION = 19, 6
ROW_BYTES = len(CAMERAS) * int(np.prod(PICTURE)) + STATE * 4  # of one observation with pictures
SIGMA = 2.0  # grey levels of sensor noise in the noisy pictures
STEPS = 50  # longest episode: 5 s at 10 Hz
CHUNK = 10  # steps in a chunk: collectors commit at least every second
_NOISE = 1 << 23


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """Columns of one episode of T steps."""

    number: int
    obs: Mapping[str, NDArray[Any]]  # each (T + 1, ...); state[:, 0] is the row's number, counted over all episodes
    action: NDArray[np.float32]  # (T, 6)
    reward: NDArray[np.float32]  # (T,)
    terminated: NDArray[np.bool_]  # (T,)
    truncated: NDArray[np.bool_]  # (T,)

    def __len__(self) -> int:
        return len(self.reward)


def render(folder: Path, transitions: int) -> Path:
    """Fill `folder` with columns of so many transitions or a few more, half of them the expert's; keep what is there.

    Raises MissingSystem where this machine cannot draw.
    """
    import gymnasium

    import user_gym  # noqa: F401  registers the ids
    from user_gym.tasks.expert import PegInsertExpert

    folder = folder / f"renders-{transitions}"
    if (folder / "lengths.npy").exists():
        return folder
    env = gymnasium.make("User/PegInsert-sim-v0", obs="pixels", max_episode_steps=STEPS)
    expert, rng = PegInsertExpert(env.unwrapped.task), np.random.default_rng(0)  # pyright: ignore[reportAttributeAccessIssue]
    columns: dict[str, list[Any]] = {name: [] for name in (*CAMERAS, "state", "action", "reward", "terminated")}
    lengths: list[int] = []
    while sum(lengths) < transitions:
        obs, _ = env.reset(seed=len(lengths))
        expert.reset()
        over, steps = False, 0
        while True:
            for name in (*CAMERAS, "state"):
                columns[name].append(obs[name])
            if over:
                break
            action = rng.uniform(-1, 1, ACTION).astype(np.float32)
            if len(lengths) % 2:
                action = expert.action(env.unwrapped.state)  # pyright: ignore[reportAttributeAccessIssue]
            obs, reward, terminated, truncated, _ = env.step(action)
            for name, value in (("action", action), ("reward", reward), ("terminated", terminated)):
                columns[name].append(value)
            over, steps = terminated or truncated, steps + 1
        lengths.append(steps)
    env.close()
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"action": np.float32, "reward": np.float32, "terminated": np.bool_}
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", np.asarray(column, kinds.get(name)))
    np.save(folder / "lengths.npy", np.asarray(lengths))  # last: it says that the others are whole
    return folder


def episodes(kind: str, transitions: int, renders: str = "", seed: int = 0) -> Iterator[Episode]:
    """At least so many transitions, in whole episodes.

    Args:
        kind: "clean" renders, "noisy" ones, or "state": no pictures.
        transitions: how many.
        renders: folder that `render` filled; "state" needs none.
        seed: of the noise and of what has no picture.
    """
    rng = np.random.default_rng(seed)
    drawn = _bare(rng) if kind == "state" else _rendered(Path(renders), rng if kind == "noisy" else None)
    done = row = 0
    for number, (obs, action, reward, terminated) in enumerate(drawn):
        rows = len(action) + 1
        obs["state"][:, 0] = np.arange(row, row + rows)
        truncated = np.zeros(len(action), np.bool_)
        truncated[-1] = not terminated[-1]
        yield Episode(number, obs, action, reward, terminated, truncated)
        done, row = done + len(action), row + rows
        if done >= transitions:
            return


def _bare(rng: np.random.Generator) -> Iterator[tuple[Any, Any, Any, Any]]:
    while True:
        state, action = rng.standard_normal((STEPS + 1, STATE), np.float32), rng.random((STEPS, ACTION), np.float32)
        yield {"state": state}, action, rng.random(STEPS, np.float32), np.zeros(STEPS, np.bool_)


def _rendered(folder: Path, rng: np.random.Generator | None) -> Iterator[tuple[Any, Any, Any, Any]]:
    columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in (*CAMERAS, "state", "action", "reward")}
    terminated, lengths = np.load(folder / "terminated.npy"), np.load(folder / "lengths.npy")
    noise = None if rng is None else np.rint(rng.standard_normal(_NOISE, np.float32) * SIGMA).astype(np.int16)
    while True:
        row = step = 0
        for length in lengths.tolist():
            obs = {name: np.array(columns[name][row : row + length + 1]) for name in (*CAMERAS, "state")}
            if rng is not None and noise is not None:
                for name in CAMERAS:
                    _disturb(obs[name], noise, rng)
            steps = slice(step, step + length)
            yield obs, np.array(columns["action"][steps]), np.array(columns["reward"][steps]), terminated[steps]
            row, step = row + length + 1, step + length


def _disturb(pictures: NDArray[np.uint8], noise: NDArray[np.int16], rng: np.random.Generator) -> None:
    """Add noise in place: every picture gets its own stretch of one long table, drawn once because drawing is slow."""
    size = pictures[0].size
    for picture in pictures:
        start = int(rng.integers(len(noise) - size))
        disturbed = picture.reshape(-1) + noise[start : start + size]
        picture.reshape(-1)[:] = np.clip(disturbed, 0, 255)
