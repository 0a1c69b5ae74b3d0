"""Learn to tell success from the state or from pictures, by frames of a buffer; the file that it writes rewards a run.

    python -m baselines.reward_classifier --buffer runs/NAME/buffer --out reward.npz
    python -m baselines.rlpd --reward classifier:reward.npz

With --obs pixels, of a buffer of a run with --obs pixels, it sees what that run's policy saw, and rewards such runs.

Several small networks learn from the same frames and begin differently; of each frame the most doubtful one counts. Whole
episodes are held out: one part of them chooses the threshold, another one, which nothing was chosen by, is what is reported.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from baselines.command import arguments, command
from baselines.reward_frames import CHOOSE, LEARN, REPORT, Frames, Quality, frames, quality, split, threshold
from user_gym.core import F64, I64, real, whole
from user_gym.errors import BadOption, MissingExtra
from user_gym.rewards import Network
from user_gym.rewards.classifier import FARTHEST
from user_gym.rewards.sight import Eye, Sight
from user_gym.system import Buffer
from user_gym.system.atomic_file import write_aside

try:
    import torch

    from baselines.networks import Encoder, shifted
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error

# What suits each kind of observation. An update from pictures takes some twenty times as long.
_USUAL: dict[str, dict[str, int]] = {
    "state": {"members": 5, "updates": 3000, "batch_size": 256},
    "pixels": {"members": 3, "updates": 500, "batch_size": 64},
}
_AT_ONCE = 256  # frames that are scored together: pictures take memory
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
    obs: str = "state"
    """state, or pixels: the pictures of a run with --obs pixels and what the arm feels"""
    picture_bytes: int = 8 << 30
    """of memory, the most that pictures may take (8 GiB); more are refused before anything is learned"""
    members: int = 0
    """networks, of which the most doubtful counts; 0: 5, from pictures 3"""
    hidden: int = 64
    """width of their two hidden layers"""
    updates: int = 0
    """of each network; 0: 3000, from pictures 500"""
    batch_size: int = 0
    """frames per update, half of them success; 0: 256, from pictures 64"""
    learning_rate: float = 1e-3
    """falls to nothing by a cosine"""
    seed: int = 0
    """of the split, the networks and the batches"""

    def __post_init__(self) -> None:
        if self.obs not in _USUAL:
            raise BadOption("obs", self.obs, " | ".join(_USUAL))
        for name, usual in _USUAL[self.obs].items():
            object.__setattr__(self, name, getattr(self, name) or usual)
        for name, least in {"picture_bytes": 1, "members": 1, "hidden": 1, "updates": 1, "batch_size": 2, "seed": 0}.items():
            whole(name, getattr(self, name), least)
        real("max_false", self.max_false, sys.float_info.min, 1.0, "a rate above 0, at most 1")
        real("learning_rate", self.learning_rate, 1e-8, 1.0, "1e-8 .. 1")
        if self.out.suffix != ".npz":
            raise BadOption("out", str(self.out), "a file NAME.npz")


def learn(shown: Frames, options: Options) -> Network:
    """Networks that tell success frames from the others; the threshold is a half."""
    generator = torch.Generator().manual_seed(options.seed)
    mean, scale = shown.state.mean(0), shown.state.std(0)
    scale = np.where(scale > 1e-6, scale, np.float32(1)).astype(np.float32)  # what never changed says nothing
    x = torch.from_numpy(np.clip((shown.state - mean) / scale, -FARTHEST, FARTHEST))
    good, bad = (torch.from_numpy(np.flatnonzero(mask)) for mask in (shown.success, ~shown.success))
    encoders = _encoders(shown, options)
    seen = encoders[0].size if encoders else 0
    widths = (x.shape[1] + seen, options.hidden, options.hidden, 1)
    weights = [
        (torch.randn((options.members, wide, next_), generator=generator) * math.sqrt(2 / wide)).requires_grad_()
        for wide, next_ in pairwise(widths)
    ]
    biases = [torch.zeros((options.members, 1, next_), requires_grad=True) for next_ in widths[1:]]
    learned = [*weights, *biases, *(value for encoder in encoders for value in encoder.parameters())]
    optimiser = torch.optim.AdamW(learned, options.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.updates)
    half = options.batch_size // 2
    label = torch.cat([torch.ones(half), torch.zeros(half)]).expand(options.members, -1)
    for _ in range(options.updates):
        rows = torch.cat([of[torch.randint(len(of), (options.members, half), generator=generator)] for of in (good, bad)], 1)
        y = x[rows]  # (m, batch, state): each network has a batch of its own
        if encoders:
            features = [_looked(encoder, shown, row.numpy(), generator) for encoder, row in zip(encoders, rows, strict=True)]
            y = torch.cat([y, torch.stack(features)], -1)
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            y = torch.baddbmm(bias, y, weight)
            y = torch.relu(y) if i < len(weights) - 1 else y
        loss = torch.nn.functional.binary_cross_entropy_with_logits(y[..., 0], label, reduction="mean") * options.members
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return Network(
        mean, scale, tuple(weight.detach().numpy() for weight in weights), tuple(bias.detach().numpy() for bias in biases), 0.5,
        sights=tuple(sight(encoder, {name: of.shape[1:3] for name, of in shown.pictures.items()}) for encoder in encoders),
    )  # fmt: skip


def _encoders(shown: Frames, options: Options) -> list[Encoder]:
    """One for each network; none where there are no pictures."""
    cameras = {name: of.shape[1:3] for name, of in shown.pictures.items()}
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        return [Encoder(cameras) for _ in range(options.members if cameras else 0)]


def _looked(encoder: Encoder, shown: Frames, which: I64, generator: torch.Generator) -> torch.Tensor:
    """Features (batch, size) of frames whose pictures are shifted at random, as policies learn from them."""
    return encoder({name: shifted(torch.from_numpy(of), generator) for name, of in shown.seen(which).items()})


def sight(encoder: Encoder, shapes: Mapping[str, tuple[int, ...]]) -> Sight:
    """What the encoder sees, in numpy: who is rewarded by it needs no torch."""
    eyes: dict[str, Eye] = {}
    for name, net in zip(encoder.cameras, encoder.nets, strict=True):
        convolutions = [layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d)]
        (last,) = (layer for layer in net.modules() if isinstance(layer, torch.nn.Linear))
        (norm,) = (layer for layer in net.modules() if isinstance(layer, torch.nn.LayerNorm))
        kernels, biases = ([getattr(layer, of).detach().numpy() for layer in convolutions] for of in ("weight", "bias"))
        strides = np.array([layer.stride[0] for layer in convolutions])
        vectors = (value.detach().numpy() for value in (last.weight, last.bias, norm.weight, norm.bias))
        height, width = shapes[name]
        eyes[name] = Eye((height, width), tuple(kernels), tuple(biases), strides, *vectors)
    return Sight(eyes)


def scores(network: Network, found: Frames) -> F64:
    """Of each frame (n,)."""
    parts = [np.arange(at, min(at + _AT_ONCE, len(found.state))) for at in range(0, len(found.state), _AT_ONCE)]
    return np.concatenate([network.score(found.state[part], found.seen(part)) for part in parts])


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
        picture_bytes = options.picture_bytes if options.obs == "pixels" else 0
        parts = split(frames(buffer, options.where, options.success, picture_bytes), options.seed)
    network = learn(parts[LEARN], options)
    chosen = threshold(scores(network, parts[CHOOSE]), parts[CHOOSE], options.max_false)
    reached = quality(scores(network, parts[REPORT]), parts[REPORT], chosen)
    if reached.missed > _MOST_MISSED:
        raise BadOption(
            "max_false", options.max_false, f"one that leaves success to be seen: {reached.missed:.2f} of it is missed",
            f"show it more episodes of both kinds, or allow more by --max-false; {options.out} is not written",
        )  # fmt: skip
    told = {
        "obs": options.obs, "where": options.where, "success": options.success, "seed": options.seed, "threshold": chosen,
        "learned_from": {"frames": len(parts[LEARN].success), "success_frames": int(parts[LEARN].success.sum())},
        "held_out": reached._asdict(),
    }  # fmt: skip
    made = replace(network, threshold=chosen, told=told)
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
        options = arguments(Options, __doc__)
        report(options, main(options))
