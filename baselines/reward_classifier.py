"""Learn to tell success from the state, by frames of a buffer; the file that it writes rewards a run.

    python -m baselines.reward_classifier --buffer runs/NAME/buffer --out reward.npz
    python -m baselines.rlpd --reward classifier:reward.npz

Several small networks learn from the same frames and begin differently; of each state the most doubtful one counts. Whole
episodes are held out: one part of them chooses the threshold, another one, which nothing was chosen by, is what is reported.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from baselines.command import command
from user_gym.core import F32, F64, I64, Bool, real, whole
from user_gym.errors import BadOption, Gone, MissingExtra
from user_gym.rewards import Network
from user_gym.rewards.classifier import FARTHEST
from user_gym.system import Buffer
from user_gym.system.atomic_file import write_aside

try:
    import torch
    import tyro
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error

LEARN, CHOOSE, REPORT = "learn", "choose", "report"
SHARES = {LEARN: 0.6, CHOOSE: 0.2, REPORT: 0.2}  # of the episodes
_LEAST = 10  # episodes with a success frame, and frames without: fewer leave nothing to hold out
_MOST_MISSED = 0.9  # share of success frames: a classifier that misses more of them rewards next to nothing


@dataclass(frozen=True, slots=True)
class Options:
    """What is learned from, and how."""

    buffer: Path
    """of a run, such as runs/NAME/buffer"""
    out: Path = Path("reward.npz")
    """the file that is written"""
    where: str = "TRUE"
    """which frames: a condition as of docs/buffer.md"""
    success: str = "success AND terminated"
    """which of them show success; the others do not. What a person said: docs/rewards.md"""
    max_false: float = 0.01
    """false-positive rate, of frames and of episodes, below which the threshold is chosen"""
    members: int = 5
    """networks, of which the most doubtful counts"""
    hidden: int = 64
    """width of their two hidden layers"""
    updates: int = 3000
    """of each network"""
    batch_size: int = 256
    """frames per update, half of them success"""
    learning_rate: float = 1e-3
    """falls to nothing by a cosine"""
    seed: int = 0
    """of the split, the networks and the batches"""

    def __post_init__(self) -> None:
        for name, least in (("members", 1), ("hidden", 1), ("updates", 1), ("batch_size", 2), ("seed", 0)):
            whole(name, getattr(self, name), least)
        real("max_false", self.max_false, sys.float_info.min, 1.0, "a rate above 0, at most 1")
        real("learning_rate", self.learning_rate, 1e-8, 1.0, "1e-8 .. 1")
        if self.out.suffix != ".npz":
            raise BadOption("out", str(self.out), "a file NAME.npz")


class Frames(NamedTuple):
    """States that steps led to."""

    state: F32  # (n, state)
    success: Bool  # (n,)
    episode: I64  # (n,) 0, 1, ... in the order of the buffer

    def of(self, episodes: I64) -> Frames:
        """Those of some episodes."""
        chosen = np.isin(self.episode, episodes)
        return Frames(self.state[chosen], self.success[chosen], self.episode[chosen])


class Quality(NamedTuple):
    """How good a classifier is on frames that it did not learn from."""

    frames: int
    episodes: int
    accuracy: float  # of frames
    false_positives: float  # share of the frames without success that it takes for one
    missed: float  # share of the success frames
    false_episodes: float  # share of the episodes with a frame that it takes wrongly for success


def frames(buffer: Buffer, where: str, success: str) -> Frames:
    """Frames of a buffer that a condition selects, and which of them another one does.

    Raises:
        BadOption: the conditions are none, select nothing, or states of unlike widths.
    """
    numbers = buffer.view(where).numbers()
    good = buffer.view(where).view(success).numbers()
    states: list[F32] = []
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
        states.append(chunk.obs["state"][1:][rows[kept]])
        done.append(numbers[at:end][kept])
        number = known.setdefault((chunk.source, chunk.episode), len(known))
        episodes.append(np.full(int(kept.sum()), number))
        at = end
    if not states:
        raise BadOption("where", where, "a condition that frames of the buffer satisfy")
    if len({state.shape[1] for state in states}) > 1:
        raise BadOption("where", where, "frames of one kind of robot and task", "select one, as \"robot = 'franka-fr3'\"")
    return Frames(np.concatenate(states), np.isin(np.concatenate(done), good), np.concatenate(episodes))


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


def learn(shown: Frames, options: Options) -> Network:
    """Networks that tell success frames from the others; the threshold is a half."""
    generator = torch.Generator().manual_seed(options.seed)
    mean, scale = shown.state.mean(0), shown.state.std(0)
    scale = np.where(scale > 1e-6, scale, np.float32(1)).astype(np.float32)  # what never changed says nothing
    x = torch.from_numpy(np.clip((shown.state - mean) / scale, -FARTHEST, FARTHEST))
    good, bad = (torch.from_numpy(np.flatnonzero(mask)) for mask in (shown.success, ~shown.success))
    widths = (x.shape[1], options.hidden, options.hidden, 1)
    weights = [
        (torch.randn((options.members, wide, next_), generator=generator) * math.sqrt(2 / wide)).requires_grad_()
        for wide, next_ in pairwise(widths)
    ]
    biases = [torch.zeros((options.members, 1, next_), requires_grad=True) for next_ in widths[1:]]
    optimiser = torch.optim.AdamW([*weights, *biases], options.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.updates)
    half = options.batch_size // 2
    label = torch.cat([torch.ones(half), torch.zeros(half)]).expand(options.members, -1)
    for _ in range(options.updates):
        rows = [of[torch.randint(len(of), (options.members, half), generator=generator)] for of in (good, bad)]
        y = x[torch.cat(rows, 1)]  # (m, batch, state): each network has a batch of its own
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            y = torch.baddbmm(bias, y, weight)
            y = torch.relu(y) if i < len(weights) - 1 else y
        loss = torch.nn.functional.binary_cross_entropy_with_logits(y[..., 0], label, reduction="mean") * options.members
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return Network(
        mean, scale, tuple(weight.detach().numpy() for weight in weights), tuple(bias.detach().numpy() for bias in biases), 0.5
    )


def main(options: Options) -> dict[str, Any]:
    """Learn, choose the threshold, write the file; what is reported of it.

    Raises:
        BadOption: the frames are too few, or of unlike kinds, or nearly no success is told from the rest.
        WrongRun, Unwritable, NoSpace: of the buffer, and of the file.
    """
    torch.set_num_threads(1)  # for networks this small, more threads only wait for each other
    if not options.out.absolute().parent.is_dir():  # now, and not when all is learned
        raise BadOption("out", str(options.out), "a file in a folder that is there")
    with Buffer.open(options.buffer, read_only=True) as buffer:
        parts = split(frames(buffer, options.where, options.success), options.seed)
    network = learn(parts[LEARN], options)
    chosen = threshold(network.score(parts[CHOOSE].state), parts[CHOOSE], options.max_false)
    reached = quality(network.score(parts[REPORT].state), parts[REPORT], chosen)
    if reached.missed > _MOST_MISSED:
        raise BadOption(
            "max_false", options.max_false, f"one that leaves success to be seen: {reached.missed:.2f} of it is missed",
            f"show it more episodes of both kinds, or allow more by --max-false; {options.out} is not written",
        )  # fmt: skip
    told = {
        "where": options.where, "success": options.success, "seed": options.seed, "threshold": chosen,
        "learned_from": {"frames": len(parts[LEARN].success), "success_frames": int(parts[LEARN].success.sum())},
        "held_out": reached._asdict(),
    }  # fmt: skip
    made = Network(network.mean, network.scale, network.weights, network.biases, chosen, told)
    write_aside(options.out, made.save)
    return told


def report(options: Options, told: dict[str, Any]) -> None:
    """Print what was reached."""
    shown, reached = told["learned_from"], Quality(**told["held_out"])
    print(
        f"learned from {shown['frames']} frames, {shown['success_frames']} of them success; threshold {told['threshold']:.4f}"
    )
    print(f"held out: {reached.frames} frames of {reached.episodes} episodes")
    print(f"  accuracy            {reached.accuracy:.4f} of frames")
    print(f"  false positives     {reached.false_positives:.4f} of frames without success")
    print(f"                      {reached.false_episodes:.4f} of episodes, in which one such frame is enough")
    print(f"  success not seen    {reached.missed:.4f} of success frames")
    if max(reached.false_positives, reached.false_episodes) >= options.max_false:
        print(f"  more than {options.max_false} is false: show it more episodes, failures above all")
    print(f"reward      {options.out}")


if __name__ == "__main__":
    with command():
        options = tyro.cli(Options, description=__doc__)
        report(options, main(options))
