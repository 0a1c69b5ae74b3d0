"""Networks of the baselines. Each keeps its parameters in one vector: one tensor to optimise, average, publish and store.

With networks this small an update is made of overhead: one batched product for a whole ensemble, one optimiser step for one
tensor, and acting in numpy are what makes it fast.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from user_gym.core import F32, ActionChunk, Weights
from user_gym.errors import WrongWeights

LOG_STD = (-5.0, 2.0)  # range of the log standard deviation of an action before its tanh


class Ensemble:
    """Several multilayer perceptrons side by side, as a function of a parameter vector.

    Args:
        members: number of networks.
        sizes: width of input, hidden layers and output.
        normalise: layer normalisation (without scale and shift) before each ReLU.
    """

    def __init__(self, members: int, sizes: Sequence[int], normalise: bool) -> None:
        self.normalise = normalise
        self.shapes = [shape for i, o in pairwise(sizes) for shape in ((members, i, o), (members, 1, o))]
        self._counts = [math.prod(shape) for shape in self.shapes]
        self.size = sum(self._counts)

    def initial(self, generator: torch.Generator, last: float = 1.0) -> Tensor:
        """A fresh parameter vector (size,); `last` scales the output layer."""
        vector = torch.zeros(self.size)
        weights = self.parts(vector)[::2]
        for weight in weights:
            weight.normal_(0.0, 1.0 / math.sqrt(weight.shape[1]), generator=generator)
        weights[-1].mul_(last)
        return vector

    def parts(self, vector: Tensor) -> list[Tensor]:
        """Weight and bias of each layer, as views. One split: its gradient is one concatenation."""
        return [part.view(shape) for part, shape in zip(vector.split(self._counts), self.shapes, strict=True)]

    def __call__(self, vector: Tensor, x: Tensor) -> Tensor:
        """(batch, in) -> (members, batch, out)."""
        parts = self.parts(vector)
        x = x.expand(self.shapes[0][0], *x.shape)
        for layer in range(0, len(parts), 2):
            x = torch.baddbmm(parts[layer + 1], x, parts[layer])
            if layer + 2 < len(parts):
                x = functional.relu(functional.layer_norm(x, x.shape[-1:]) if self.normalise else x)
        return x


def spec_hash(nets: Mapping[str, Ensemble], encoder: nn.Module | None) -> str:
    """SHA-256 over name, shape and dtype of every parameter: equal where weights of one fit the other."""
    layers: Iterable[tuple[str, Sequence[int], str]] = (
        (f"{name}.{i}", shape, "float32") for name, net in nets.items() for i, shape in enumerate(net.shapes)
    )
    seen = (
        (f"encoder.{name}", value.shape, str(value.dtype)) for name, value in (encoder.state_dict() if encoder else {}).items()
    )
    lines = [f"{name} {tuple(shape)} {dtype.removeprefix('torch.')}" for name, shape, dtype in (*layers, *seen)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class Encoder(nn.Module):
    """Pictures of several cameras to features; one convolutional network per camera.

    Args:
        cameras: name -> (height, width) in pixels.
        features: per camera.
    """

    def __init__(self, cameras: Mapping[str, tuple[int, ...]], features: int = 50) -> None:
        super().__init__()
        self.cameras = tuple(cameras)
        self.size = features * len(cameras)
        self.nets = nn.ModuleList(_convolutions(shape[0], shape[1], features) for shape in cameras.values())

    def forward(self, pictures: Mapping[str, Tensor]) -> Tensor:
        """uint8 (batch, height, width, 3) each -> (batch, size)."""
        # Bytes are put in order before they become numbers: a fourth of the memory is moved.
        scaled = (pictures[name].permute(0, 3, 1, 2).contiguous().float().div_(255.0).sub_(0.5) for name in self.cameras)
        return torch.cat([net(x) for net, x in zip(self.nets, scaled, strict=True)], dim=-1)


def _convolutions(height: int, width: int, features: int) -> nn.Module:
    trunk = nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=4), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2), nn.ReLU(),
        nn.Flatten(),
    )  # fmt: skip
    flat = trunk(torch.zeros(1, 3, height, width)).shape[-1]
    return nn.Sequential(trunk, nn.Linear(flat, features), nn.LayerNorm(features), nn.Tanh())


def shifted(picture: Tensor, generator: torch.Generator, pad: int = 2) -> Tensor:
    """Each picture uint8 (batch, height, width, 3) moved by up to `pad` pixels, its border repeated."""
    batch, height, width, _ = picture.shape
    by = torch.randint(0, 2 * pad + 1, (batch, 2), generator=generator).tolist()
    wide = np.pad(picture.numpy(), ((0, 0), (pad, pad), (pad, pad), (0, 0)), "edge")
    # Slices, not one gather: copied row by row, pictures of 64 x 64 take a sixth of the time that picking their pixels takes.
    moved = np.empty(picture.shape, np.uint8)
    for one, (row, column) in enumerate(by):
        moved[one] = wide[one, row : row + height, column : column + width]
    return torch.from_numpy(moved)


def squashed(output: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actor output (batch, 2 a) and standard normal noise (batch, a) to actions in (-1, 1) and their log density (batch,)."""
    mean, log_std = output.chunk(2, dim=-1)
    log_std = log_std.clamp(*LOG_STD)
    u = mean + log_std.exp() * noise
    # log N(u) less the log derivative of tanh, 2 (log 2 - u - softplus(-2 u)), per axis
    log_density = -0.5 * noise * noise - log_std - 2.0 * (math.log(2.0) - u - functional.softplus(-2.0 * u))
    return u.tanh(), log_density.sum(-1) - 0.5 * math.log(2 * math.pi) * noise.shape[-1]


def seen(encoder: Encoder | None, obs: Mapping[str, NDArray[Any]], generator: torch.Generator) -> Tensor:
    """Observations (batch, ...) to what networks are given (batch, width): the state, and each picture's features, shifted."""
    state = torch.from_numpy(obs["state"])
    if encoder is None:
        return state
    pictures = {name: shifted(torch.from_numpy(obs[name]), generator) for name in encoder.cameras}
    return torch.cat([state, encoder(pictures)], -1)


class ActorPolicy:
    """A Policy that acts in numpy; pictures go through a torch encoder first. A subclass says what the network's output means.

    Args:
        net: the actor, one member.
        vector: its parameters now (size,).
        encoder: of the pictures, or None.
        seed: of what it draws.
    """

    def __init__(self, net: Ensemble, vector: F32, encoder: Encoder | None, seed: int) -> None:
        self.version: int = -1
        self.net, self.encoder = net, encoder
        self.rng = np.random.default_rng(seed)
        self.spec_hash: str = spec_hash({"actor": net}, encoder)
        self._vector = vector.copy()
        self._split()

    def reset(self, seed: int | None = None) -> None:
        """As `core.Policy.reset`."""
        if seed is not None:
            self.rng = np.random.default_rng(seed)

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        """As `core.Policy.act`."""
        x = obs["state"]
        if self.encoder is not None:
            with torch.no_grad():
                pictures = {name: torch.from_numpy(obs[name][None]) for name in self.encoder.cameras}
                x = np.concatenate([x, self.encoder(pictures)[0].numpy()])
        return ActionChunk(self.action(x, deterministic).astype(np.float32)[None], self.version)

    def action(self, x: F32, deterministic: bool) -> NDArray[Any]:
        """One action (a,) for what the network is given (width,)."""
        raise NotImplementedError

    def output(self, x: NDArray[Any]) -> NDArray[Any]:
        """The network's output."""
        for weight, bias in self._layers[:-1]:
            x = np.maximum(x @ weight + bias, 0.0)
        weight, bias = self._layers[-1]
        return x @ weight + bias

    def load(self, weights: Weights) -> None:
        """As `core.Policy.load`."""
        if weights.spec_hash != self.spec_hash:
            raise WrongWeights(weights.spec_hash, self.spec_hash)
        self._vector = np.array(weights.arrays["actor"])
        if self.encoder is not None:
            values = {name: torch.from_numpy(np.array(weights.arrays[name])) for name in self.encoder.state_dict()}
            self.encoder.load_state_dict(values)
        self.version = weights.version
        self._split()

    def _split(self) -> None:
        parts = [part[0].numpy() for part in self.net.parts(torch.from_numpy(self._vector))]
        self._layers = [(weight, bias[0]) for weight, bias in zip(parts[::2], parts[1::2], strict=True)]


class GaussianPolicy(ActorPolicy):
    """Draws from a squashed normal distribution: output is its mean and log standard deviation, of each axis."""

    def action(self, x: F32, deterministic: bool) -> NDArray[Any]:
        """As ActorPolicy.action; deterministic: tanh of the mean."""
        mean, log_std = np.split(self.output(x), 2)
        if not deterministic:
            mean = mean + np.exp(np.clip(log_std, *LOG_STD)) * self.rng.standard_normal(len(mean))
        return np.tanh(mean)


class MeanPolicy(ActorPolicy):
    """Does always what it thinks best: tanh of the output."""

    def action(self, x: F32, deterministic: bool) -> NDArray[Any]:
        """As ActorPolicy.action."""
        return np.tanh(self.output(x))
