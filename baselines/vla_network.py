"""A small vision-language-action model: pictures, state and prompt to a chunk of actions, by flow matching. And its policy.

As pi0 (Black et al. 2024) is made: tokens of what is seen, felt and said are read once; a smaller network then moves a chunk
of noise along a learned velocity, and looks at those tokens at every step. Here all of it is trained from nothing.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from baselines.networks import spec_hash
from baselines.pictures import STATE, shrunk
from user_gym.core import ActionChunk, Weights
from user_gym.errors import BadOption, WrongWeights
from user_gym.system.chunked import PREFIX, PROMPT

WORDS, MOST_WORDS = 512, 12  # rows of the table of words; words of a prompt that are read
FLOW_STEPS = 8  # of Euler's method, from noise to actions, where nothing else was trained


class Block(nn.Module):
    """A pre-normalised transformer block: each token looks at all, then at those of `memory`, where it has one."""

    def __init__(self, width: int, heads: int, memory: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 + memory))
        self.own = nn.Linear(width, 3 * width)
        self.ask, self.tell = (nn.Linear(width, width), nn.Linear(width, 2 * width)) if memory else (None, None)
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(1 + memory))
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """(n, tokens, width), and what is looked at (m, others, width): the first n / m rows look at its first, and so on."""
        query, key, value = self.own(self.norms[0](x)).chunk(3, -1)
        x = x + self.out[0](self._attend(query, key, value))
        if self.ask is not None and self.tell is not None and memory is not None:
            key, value = self.tell(memory).chunk(2, -1)
            # Several chunks of one observation follow each other: what they look at is read for all of them at once.
            asked = self.ask(self.norms[2](x)).unflatten(0, (len(memory), -1)).flatten(1, 2)
            x = x + self.out[1](self._attend(asked, key, value)).reshape(x.shape)
        return x + self.think(self.norms[1](x))

    def _attend(self, *parts: Tensor) -> Tensor:
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class VlaNetwork(nn.Module):
    """The model.

    Args:
        cameras: their names.
        side: height and width of their pictures, pixels; a multiple of 16.
        axes: of an action.
        horizon: actions in a chunk.
        width: of a token.
        heads: of attention.
        layers: blocks that read what is seen, and blocks that make actions of it.
    """

    state_mean: Tensor
    state_scale: Tensor
    pitch: Tensor

    def __init__(
        self,
        cameras: Sequence[str],
        side: int,
        axes: int,
        horizon: int,
        width: int = 96,
        heads: int = 4,
        layers: tuple[int, int] = (2, 4),
    ) -> None:
        super().__init__()
        if side % 16 or side <= 0:
            raise BadOption("side", side, "a multiple of 16, pixels: what a token of a picture sees")
        self.cameras, self.side, self.axes, self.horizon = tuple(cameras), side, axes, horizon
        self.eyes = nn.ModuleList(_eye(width) for _ in self.cameras)
        patches = (side // 16) ** 2
        self.place = nn.Parameter(0.02 * torch.randn(len(self.cameras), patches, width))
        self.register_buffer("state_mean", torch.zeros(STATE))
        self.register_buffer("state_scale", torch.ones(STATE))
        self.feel = nn.Sequential(nn.Linear(STATE, width), nn.GELU(), nn.Linear(width, width))
        self.words = nn.Embedding(WORDS, width, padding_idx=0)
        self.order = nn.Parameter(0.02 * torch.randn(MOST_WORDS, width))
        self.readers = nn.ModuleList(Block(width, heads, memory=False) for _ in range(layers[0]))
        self.read_norm = nn.LayerNorm(width)
        self.enter = nn.Linear(axes, width)
        self.turn = nn.Parameter(0.02 * torch.randn(horizon, width))
        self.when = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.makers = nn.ModuleList(Block(width, heads, memory=True) for _ in range(layers[1]))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, axes))
        self.register_buffer("pitch", torch.exp(torch.linspace(math.log(1.0), math.log(1000.0), width // 2)), persistent=False)

    def read(self, pictures: Mapping[str, Tensor], state: Tensor, words: Tensor) -> Tensor:
        """What is seen, felt and said, as tokens (n, tokens, width).

        Args:
            pictures: uint8 (n, side, side, 3) each.
            state: (n, STATE).
            words: (n, MOST_WORDS) rows of the table, as `spelled` gives them.
        """
        seen = [
            eye(pictures[name].permute(0, 3, 1, 2).float() / 127.5 - 1.0).flatten(2).transpose(1, 2) + self.place[i]
            for i, (name, eye) in enumerate(zip(self.cameras, self.eyes, strict=True))
        ]
        felt = self.feel((state - self.state_mean) / self.state_scale)[:, None]
        x = torch.cat([*seen, felt, self.words(words) + self.order], 1)
        for block in self.readers:
            x = block(x)
        return self.read_norm(x)

    def velocity(self, memory: Tensor, chunk: Tensor, time: Tensor) -> Tensor:
        """Where chunks (n, horizon, axes) on their way from noise (time 0) to actions (1) move; `time` (n,).

        Of m observations' `memory`, each is that of n / m chunks in a row.
        """
        angle = time[:, None] * self.pitch
        x = self.enter(chunk) + self.turn + self.when(torch.cat([angle.sin(), angle.cos()], -1))[:, None]
        for block in self.makers:
            x = block(x, memory)
        return self.leave(x)

    def sample(self, memory: Tensor, noise: Tensor, prefix: Tensor | None = None, level: float = 0.0) -> Tensor:
        """Actions (n, horizon, axes): where ways end. As `walked`; actions begin with `prefix`."""
        made = walked(self, memory, noise, level, prefix)[:, -1]
        return made if prefix is None else torch.cat([prefix, made[:, prefix.shape[1] :]], 1)


def transition(
    net: VlaNetwork, memory: Tensor, place: Tensor, time: Tensor, size: float, level: float
) -> tuple[Tensor, Tensor]:
    """Mean (n, horizon, axes) and standard deviation (n, 1, 1) of where a way goes from `place` at `time` (n,) in `size`.

    With x = (1 - t) noise + t action and velocity v, the mean of the noise given x is x - t v, and the score of x that over
    t - 1. The ODE's drift plus half the variance times the score leaves the marginals as they are, whatever the variance;
    this is Flow-GRPO's, level^2 (1 - t) / t, with t at least one step in the denominator. Level 0 is the ODE.
    """
    velocity, at = net.velocity(memory, place, time), time[:, None, None]
    rate = level**2 / at.clamp_min(size)  # the variance over 1 - t, per unit of time
    drift = velocity - 0.5 * rate * (place - at * velocity)
    return place + size * drift, (rate * (1.0 - at) * size).sqrt()


def walked(net: VlaNetwork, memory: Tensor, noise: Tensor, level: float, prefix: Tensor | None = None) -> Tensor:
    """Ways from noise to actions (n, steps + 1, horizon, axes).

    Args:
        net: the model.
        memory: (n, tokens, width) of `read`.
        noise: (n, steps + 1, horizon, axes): where ways begin, then what each step adds.
        level: of the noise that is added; 0: none, the ODE.
        prefix: (n, d, axes) that the actions begin with; the rest goes on from there.
    """
    places, steps = [noise[:, 0]], noise.shape[1] - 1
    for step in range(steps):
        at, time = places[-1], step / steps
        if prefix is not None:
            fixed = prefix.shape[1]
            at = torch.cat([(1.0 - time) * noise[:, 0, :fixed] + time * prefix, at[:, fixed:]], 1)
        mean, deviation = transition(net, memory, at, torch.full((len(at),), time), 1.0 / steps, level)
        places.append(mean + deviation * noise[:, step + 1])
    return torch.stack(places, 1)


def flow_loss(
    net: VlaNetwork, memory: Tensor, actions: Tensor, counts: Tensor, draws: int, generator: torch.Generator
) -> Tensor:
    """Flow matching: mean squared error of the velocity on straight ways from noise to `actions`.

    What is seen is read once, and several ways are drawn for it: most of the work of an update is in the reading.

    Args:
        net: the model.
        memory: (n, tokens, width) of `read`.
        actions: (n, horizon, axes).
        counts: (n, horizon, axes) 1 where there is such an action, else 0.
        draws: ways for each row.
        generator: of noise and times.
    """
    actions, counts = actions.repeat_interleave(draws, 0), counts.repeat_interleave(draws, 0)
    noise = torch.randn(actions.shape, generator=generator)
    # More of the early times, where the way is undecided: pi0 draws from a beta distribution for the same reason.
    time = torch.rand(len(actions), generator=generator) ** 1.5
    at = time[:, None, None]
    error = net.velocity(memory, (1.0 - at) * noise + at * actions, time) - (actions - noise)
    return (error.square() * counts).sum() / counts.sum()


def spelled(prompt: str) -> NDArray[np.int64]:
    """A prompt as (MOST_WORDS,) rows of the table of words: 1 + CRC-32 of each word, so no vocabulary has to be kept."""
    rows = [1 + zlib.crc32(word.encode()) % (WORDS - 1) for word in prompt.lower().split()[:MOST_WORDS]]
    return np.array(rows + [0] * (MOST_WORDS - len(rows)))


class VlaPolicy:
    """A Policy of the model.

    Observations are "state", pictures of the model's cameras, and optionally "prompt", a text in an array (); and
    "action_prefix" (d, axes), actions that the chunk begins with because they are on their way already.

    Args:
        net: copied.
        prompt: where an observation has none.
        axes: of the robot's actions; what the model has beyond is left out.
        seed: of what is drawn.
        steps: from noise to actions.
        noise_level: of the SDE that leads there; 0: the ODE.
    """

    def __init__(
        self, net: VlaNetwork, prompt: str, axes: int, seed: int = 0, steps: int = FLOW_STEPS, noise_level: float = 0.0
    ) -> None:
        self.net, self.prompt, self.axes = copy.deepcopy(net).eval(), prompt, axes
        self.steps, self.noise_level = steps, noise_level
        self.spec_hash = spec_hash({}, net)
        self.version = -1
        self._generator = torch.Generator().manual_seed(seed)

    def reset(self, seed: int | None = None) -> None:
        """As `core.Policy.reset`."""
        if seed is not None:
            self._generator.manual_seed(seed)

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        """As `core.Policy.act`; deterministic: what becomes of noise 0."""
        net = self.net
        if missing := [name for name in ("state", *net.cameras) if name not in obs]:
            cure = "make the environment with obs='pixels', or ask by the names that the server's convention has"
            raise BadOption("observation", sorted(obs), f"what the model sees, of which it lacks {', '.join(missing)}", cure)
        pictures = {name: torch.from_numpy(shrunk(obs[name], net.side)[None]) for name in net.cameras}
        words = torch.from_numpy(spelled(str(obs.get(PROMPT, self.prompt)))[None])
        noise = torch.zeros(1, self.steps + 1, net.horizon, net.axes)
        if not deterministic:
            drawn = noise if self.noise_level else noise[:, :1]  # the ODE adds nothing on its way
            drawn.normal_(generator=self._generator)
        prefix = self._begun(obs[PREFIX]) if PREFIX in obs else None
        with torch.inference_mode():
            memory = net.read(pictures, torch.from_numpy(obs["state"][None, :STATE]), words)
            made = net.sample(memory, noise, prefix, self.noise_level)
        return ActionChunk(made[0, :, : self.axes].clamp(-1.0, 1.0).numpy().copy(), self.version)

    def _begun(self, actions: NDArray[Any]) -> Tensor:
        """Actions (d, axes) that are on their way, as the model has them (1, d, its axes)."""
        begun = torch.zeros(1, min(len(actions), self.net.horizon), self.net.axes)
        begun[0, :, : self.axes] = torch.from_numpy(np.asarray(actions[: self.net.horizon, : self.axes], np.float32))
        return begun

    def load(self, weights: Weights) -> None:
        """As `core.Policy.load`."""
        if weights.spec_hash != self.spec_hash:
            raise WrongWeights(weights.spec_hash, self.spec_hash)
        self.net.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.arrays.items()})
        self.version = weights.version


def _eye(width: int) -> nn.Module:
    """Pictures to features, one token for 16 x 16 pixels."""
    sizes = [3, 24, 48, 96, width]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(sizes)):
        layers += [nn.Conv2d(before, after, 5 if i == 0 else 3, stride=2, padding=2 if i == 0 else 1), nn.GELU()]
    return nn.Sequential(*layers[:-1])
