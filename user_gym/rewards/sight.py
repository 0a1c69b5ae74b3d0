"""Pictures to features, by convolutions in numpy. How they are learned is known to baselines.reward_classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import F32, I64, U8
from user_gym.errors import BadOption

_EPSILON = 1e-5  # of the normalisation: torch.nn.LayerNorm's


@dataclass(frozen=True, slots=True, eq=False)
class Eye:
    """Of one camera: convolutions with a ReLU behind each, then one layer, normalised, and tanh.

    Raises:
        BadOption: the arrays do not fit together.
    """

    shape: tuple[int, int]  # of its pictures, height and width in pixels
    kernels: tuple[F32, ...]  # each (out, in, side, side); the first of 3 colours
    biases: tuple[F32, ...]  # each (out,)
    strides: I64  # (kernels,) pixels
    weight: F32  # (features, what the last convolution leaves: channel, row, column)
    bias: F32  # (features,)
    gain: F32  # (features,) of the normalisation
    shift: F32  # (features,) likewise

    def __post_init__(self) -> None:
        strides = tuple(int(stride) for stride in np.asarray(self.strides).reshape(-1))
        square = all(k.ndim == 4 and k.shape[2] == k.shape[3] > 0 for k in self.kernels)
        channels = [3, *(len(bias) for bias in self.biases)]
        square = square and all(bias.ndim == 1 for bias in self.biases)
        fits = square and len(self.kernels) == len(self.biases) == len(strides) > 0 and min(strides) > 0
        fits = fits and [kernel.shape[1::-1] for kernel in self.kernels] == list(pairwise(channels))
        height, width = self.shape
        for kernel, stride in zip(self.kernels, strides, strict=False) if fits else ():
            height, width = ((side - kernel.shape[2]) // stride + 1 for side in (height, width))
            fits = fits and min(height, width) > 0
        flat = channels[-1] * height * width
        vectors = {vector.shape for vector in (self.bias, self.gain, self.shift)}
        if not fits or self.weight.shape[1:] != (flat,) or vectors != {self.weight.shape[:1]}:
            raise BadOption("eye", [kernel.shape for kernel in self.kernels], "layers that fit on each other and on pictures")
        arrays = (*self.kernels, *self.biases, self.weight, self.bias, self.gain, self.shift)
        if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in arrays):
            raise BadOption("eye", "numbers that are not finite, or not real", "finite numbers: float32")

    @property
    def size(self) -> int:
        """Features."""
        return len(self.bias)

    def __call__(self, pictures: U8) -> F32:
        """Of pictures (n, height, width, 3)."""
        x = np.moveaxis(pictures, -1, 1).astype(np.float32) / np.float32(255.0) - np.float32(0.5)  # (n, channel, row, column)
        for kernel, bias, stride in zip(self.kernels, self.biases, self.strides, strict=True):
            side = kernel.shape[2]
            patches = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(2, 3))[:, :, ::stride, ::stride]
            n, _, rows, columns = patches.shape[:4]
            flat = patches.transpose(0, 2, 3, 1, 4, 5).reshape(n * rows * columns, -1)
            x = np.maximum(flat @ kernel.reshape(len(kernel), -1).T + bias, 0.0)
            x = np.moveaxis(x.reshape(n, rows, columns, -1), -1, 1)
        y = x.reshape(len(x), -1) @ self.weight.T + self.bias
        y = y - y.mean(-1, keepdims=True)
        y = y / np.sqrt(np.square(y).mean(-1, keepdims=True) + np.float32(_EPSILON))
        return np.tanh(y * self.gain + self.shift).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is kept of it; `Eye.of` is the inverse."""
        named = {f"kernel{i}": array for i, array in enumerate(self.kernels)}
        named |= {f"bias{i}": array for i, array in enumerate(self.biases)}
        rest = {"weight": self.weight, "bias": self.bias, "gain": self.gain, "shift": self.shift, "strides": self.strides}
        return named | rest | {"shape": np.array(self.shape, np.int64)}

    @classmethod
    def of(cls, kept: Mapping[str, NDArray[Any]]) -> Eye:
        """Raises KeyError, ValueError, BadOption for what is none."""
        layers = range(sum(name.startswith("kernel") for name in kept))
        height, width = (int(side) for side in kept["shape"])
        return cls(
            (height, width), tuple(kept[f"kernel{i}"] for i in layers), tuple(kept[f"bias{i}"] for i in layers),
            np.asarray(kept["strides"], np.int64), kept["weight"], kept["bias"], kept["gain"], kept["shift"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What one network sees: an eye for each camera, their features in this order."""

    eyes: Mapping[str, Eye]

    @property
    def size(self) -> int:
        """Features of all eyes."""
        return sum(eye.size for eye in self.eyes.values())

    @property
    def shapes(self) -> dict[str, tuple[int, int, int]]:
        """Of each camera's pictures."""
        return {name: (*eye.shape, 3) for name, eye in self.eyes.items()}

    def __call__(self, pictures: Mapping[str, U8]) -> F32:
        """Features (n, size) of pictures (n, height, width, 3) each."""
        return np.concatenate([eye(pictures[name]) for name, eye in self.eyes.items()], -1)
