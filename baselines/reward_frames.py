"""What a reward classifier is shown, and how good it is on what it was not: frames of a buffer. It knows no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from user_gym.core import F32, F64, I64, U8, Bool, Chunk
from user_gym.errors import BadOption, Gone
from user_gym.system import Buffer

LEARN, CHOOSE, REPORT = "learn", "choose", "report"
SHARES = {LEARN: 0.6, CHOOSE: 0.2, REPORT: 0.2}  # of the episodes
_LEAST = 10  # episodes with a success frame, and frames without: fewer leave nothing to hold out


class Frames(NamedTuple):
    """Observations that steps led to."""

    state: F32  # (n, state)
    success: Bool  # (n,)
    episode: I64  # (n,) 0, 1, ... in the order of the buffer
    row: I64  # (n,) where in `pictures` the frame's are
    pictures: Mapping[str, U8]  # of each camera (rows, height, width, 3), of all frames: parts share them; none where not asked

    def of(self, episodes: I64) -> Frames:
        """Those of some episodes."""
        chosen = np.isin(self.episode, episodes)
        return Frames(self.state[chosen], self.success[chosen], self.episode[chosen], self.row[chosen], self.pictures)

    def seen(self, which: I64) -> dict[str, U8]:
        """Pictures of some of the frames, by their places here."""
        return {name: of[self.row[which]] for name, of in self.pictures.items()}


class Quality(NamedTuple):
    """How good a classifier is on frames that it did not learn from."""

    frames: int
    episodes: int
    accuracy: float  # of frames
    false_positives: float  # share of the frames without success that it takes for one
    missed: float  # share of the success frames
    false_episodes: float  # share of the episodes with a frame that it takes wrongly for success


def frames(buffer: Buffer, where: str, success: str, picture_bytes: int = 0) -> Frames:
    """Frames of a buffer that a condition selects, and which of them another one does.

    Args:
        buffer: of a run.
        where: which frames.
        success: which of them show success.
        picture_bytes: of memory, the most that their pictures may take; 0: frames without pictures.

    Raises:
        BadOption: the conditions are none, select nothing, or frames of unlike kinds; or there are no pictures, or too many.
    """
    numbers = buffer.view(where).numbers()
    good = buffer.view(where).view(success).numbers()
    states: list[F32] = []
    shown: dict[str, U8] = {}
    done: list[I64] = []
    episodes: list[I64] = []
    known: dict[tuple[str, int], int] = {}
    at = 0
    while at < len(numbers):
        try:
            first, steps = buffer.query.block_at(int(numbers[at]))
            chunk = buffer.chunk(int(numbers[at]))
        except Gone:  # pruned, or found damaged, a moment ago
            at += 1
            continue
        end = int(np.searchsorted(numbers, first + steps))
        if "state" not in chunk.obs:
            raise BadOption("buffer", sorted(chunk.obs), "observations with a state")
        rows = numbers[at:end] - first - (steps - len(chunk))  # a first step whose observation is gone is not in the chunk
        kept = rows >= 0
        if picture_bytes:
            _show(shown, chunk, rows[kept], sum(map(len, states)), len(numbers), picture_bytes)
        states.append(chunk.obs["state"][1:][rows[kept]])
        done.append(numbers[at:end][kept])
        number = known.setdefault((chunk.source, chunk.episode), len(known))
        episodes.append(np.full(int(kept.sum()), number))
        at = end
    if not states:
        raise BadOption("where", where, "a condition that frames of the buffer satisfy")
    if len({state.shape[1] for state in states}) > 1:
        raise _unlike(where)
    kept = np.concatenate(done)
    return Frames(np.concatenate(states), np.isin(kept, good), np.concatenate(episodes), np.arange(len(kept)), shown)


def _show(shown: dict[str, U8], chunk: Chunk, rows: I64, at: int, room: int, most: int) -> None:
    """Put pictures of a chunk's steps where their frames are, from `at` on; all of them have `room` frames, of `most` bytes."""
    here = {name: column[1:] for name, column in chunk.obs.items() if column.dtype == np.uint8 and column.ndim == 4}
    if not here:
        raise BadOption("obs", "pixels", "state, where the buffer has no pictures", "show it a run with --obs pixels")
    if not at:  # one piece for all: each batch draws among all of them, and twice as much would be too much for some machines
        needed = room * sum(column[0].nbytes for column in here.values())
        if needed > most:
            given = f"{needed:,}, of {room:,} frames"
            cure = 'choose fewer frames, as by --where "episode < 500", or allow more by --picture-bytes'
            raise BadOption("bytes of pictures", given, f"{most:,} or less, as they are held in memory", cure)
        shown |= {name: np.empty((room, *column.shape[1:]), np.uint8) for name, column in here.items()}
    if {name: column.shape[1:] for name, column in here.items()} != {name: of.shape[1:] for name, of in shown.items()}:
        raise _unlike("pictures of unlike cameras or sizes")
    for name, column in here.items():
        shown[name][at : at + len(rows)] = column[rows]


def _unlike(where: str) -> BadOption:
    return BadOption("where", where, "frames of one kind of robot and task", "select one, as \"robot = 'franka-fr3'\"")


def split(found: Frames, seed: int) -> dict[str, Frames]:
    """Frames by what they are for; episodes stay whole, and those with and without success are shared out alike.

    Raises BadOption where there are too few of either.
    """
    every, good = np.unique(found.episode), np.unique(found.episode[found.success])
    parts: dict[str, list[I64]] = {name: [] for name in SHARES}
    rng = np.random.default_rng(seed)
    if len(good) < _LEAST or int((~found.success).sum()) < _LEAST:
        given = f"{len(good)} episodes with success, {int((~found.success).sum())} frames without"
        raise BadOption("frames", given, f"{_LEAST} of each, or more", "let a run go on, or choose others by --where")
    for kind in (good, np.setdiff1d(every, good)):
        cuts = np.round(np.cumsum(list(SHARES.values()))[:-1] * len(kind)).astype(int)
        for name, part in zip(SHARES, np.split(rng.permutation(kind), cuts), strict=True):
            parts[name].append(part)
    shared = {name: found.of(np.concatenate(some)) for name, some in parts.items()}
    for name, part in shared.items():
        good_frames = int(part.success.sum())
        if not 0 < good_frames < len(part.success):
            given = f"{good_frames} of {len(part.success)} in the part to {name}"
            raise BadOption("success frames", given, "some, and some others", "show it more episodes, or take another --seed")
    return shared


def quality(score: F64, found: Frames, threshold: float) -> Quality:
    """Of scores (n,) of frames."""
    taken = score > threshold
    wrong = taken & ~found.success
    return Quality(
        len(score), len(np.unique(found.episode)), float((taken == found.success).mean()),
        float(wrong.sum() / max(1, (~found.success).sum())),
        float((~taken & found.success).sum() / max(1, found.success.sum())),
        len(np.unique(found.episode[wrong])) / max(1, len(np.unique(found.episode))),
    )  # fmt: skip


def threshold(score: F64, found: Frames, max_false: float) -> float:
    """The lowest from one half on with which less than `max_false` of frames and of episodes is taken wrongly for success."""
    highest: dict[int, float] = {}
    for number, value in zip(found.episode[~found.success].tolist(), score[~found.success].tolist(), strict=True):
        highest[number] = max(value, highest.get(number, 0.0))
    candidates = sorted({0.5, *(value for value in highest.values() if value > 0.5)})
    for candidate in candidates:
        reached = quality(score, found, candidate)
        if max(reached.false_positives, reached.false_episodes) < max_false:
            return candidate
    return candidates[-1]  # above it nothing is wrong
