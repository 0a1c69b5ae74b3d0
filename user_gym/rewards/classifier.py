"""Success as small networks see it in the state and in pictures, in numpy. How they learn: baselines.reward_classifier."""

from __future__ import annotations

import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import F32, F64, U8, RewardSignal, RobotState, Scene
from user_gym.errors import BadOption, WrongRun
from user_gym.rewards.sight import Eye, Sight

FORMAT = 1
# What numpy, zipfile, zlib and json raise of a damaged file. NotImplementedError and RecursionError are RuntimeErrors.
_DAMAGED = (
    OSError, ValueError, LookupError, TypeError, EOFError, AttributeError, RuntimeError, MemoryError,
    tokenize.TokenError, zlib.error, struct.error, zipfile.BadZipFile,
)  # fmt: skip
FARTHEST = 10.0  # standard deviations: a state farther from those it was shown is as good as that far


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """m networks of equal shape, with one hidden layer or more, and what is done before and after them.

    Raises:
        BadOption: the arrays do not fit together.
    """

    mean: F32  # (state,) of the states it was shown
    scale: F32  # (state,) their standard deviation, > 0
    weights: tuple[F32, ...]  # each (m, in, out)
    biases: tuple[F32, ...]  # each (m, 1, out)
    threshold: float  # 0..1: a score above it is success
    told: Mapping[str, Any] = field(default_factory=dict)  # what it was trained on, and how good it is: JSON
    sights: tuple[Sight, ...] = ()  # one of each network, whose features follow the state; empty: they see no pictures

    def __post_init__(self) -> None:
        if self.sights and (len(self.sights) != len(self.biases[0]) or len({str(s.shapes) for s in self.sights}) > 1):
            raise BadOption("sights", len(self.sights), "one for each network, of the same pictures")
        seen = self.sights[0].size if self.sights else 0
        widths = [len(self.mean) + seen, *(bias.shape[-1] for bias in self.biases)]
        members = {len(array) for array in (*self.weights, *self.biases) if array.ndim == 3}
        shapes = [weight.shape[1:] for weight in self.weights]
        fits = shapes == list(pairwise(widths)) and all(b.shape[1:2] == (1,) for b in self.biases)
        if (
            len(members) != 1
            or not fits
            or len(shapes) < 2
            or widths[-1] != 1
            or self.mean.ndim != 1
            or self.scale.shape != self.mean.shape
        ):
            raise BadOption("network", shapes, "two layers or more that fit on each other, from the state's width to 1")
        arrays = (self.mean, self.scale, *self.weights, *self.biases)
        kinds = sorted({str(array.dtype) for array in arrays if array.dtype.kind != "f"})
        if kinds:
            raise BadOption("network", kinds, "arrays of real numbers: float32")
        if not all(np.isfinite(array).all() for array in arrays) or not (self.scale > 0).all():
            raise BadOption("network", "numbers that are not finite, or a scale that is not above 0", "finite numbers")
        if not 0.0 <= self.threshold <= 1.0:
            raise BadOption("threshold", self.threshold, "0 .. 1")

    @property
    def pictures(self) -> Mapping[str, tuple[int, int, int]]:
        """Shape of the pictures that it sees, by camera."""
        return self.sights[0].shapes if self.sights else {}

    def score(self, state: F32, pictures: Mapping[str, U8] = MappingProxyType({})) -> F64:
        """Of states (..., state) and pictures (..., height, width, 3) how probable success is (...,).

        It is as the most doubtful of the networks sees it.
        """
        x = np.clip((np.asarray(state, np.float32) - self.mean) / self.scale, -FARTHEST, FARTHEST)
        lead = x.shape[:-1]
        x = x.reshape(1, -1, x.shape[-1])
        if self.sights:
            shown = {name: np.asarray(pictures[name]).reshape(-1, *shape) for name, shape in self.pictures.items()}
            seen = np.stack([sight(shown) for sight in self.sights])
            x = np.concatenate([np.broadcast_to(x, (*seen.shape[:2], x.shape[-1])), seen], -1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight + bias
            x = np.maximum(x, 0.0) if i < len(self.weights) - 1 else x
        logit = x[..., 0].min(0).astype(np.float64)
        return (0.5 * (1.0 + np.tanh(0.5 * logit))).reshape(lead)  # the logistic function, without overflow

    def save(self, path: Path) -> None:
        """Write it as arrays and JSON; nothing in the file can be executed."""
        arrays = {"mean": self.mean, "scale": self.scale, "threshold": np.float64(self.threshold)}
        arrays |= {f"weight{i}": array for i, array in enumerate(self.weights)}
        arrays |= {f"bias{i}": array for i, array in enumerate(self.biases)}
        for i, sight in enumerate(self.sights):
            for name, eye in sight.eyes.items():
                arrays |= {f"sight/{i}/{name}/{what}": array for what, array in eye.arrays().items()}
        told = np.frombuffer(json.dumps(dict(self.told)).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, format=np.int64(FORMAT), told=told, **arrays)

    @classmethod
    def load(cls, path: Path) -> Network:
        """Read it. Raises WrongRun where the file is not there, or no such network."""
        cure = "train one: python -m baselines.reward_classifier --buffer runs/NAME/buffer --out FILE"
        try:
            with path.open("rb") as file:
                if not zipfile.is_zipfile(file):  # numpy takes other files for pickles
                    raise BadOption("file", path.name, "an .npz file")
                file.seek(0)
                kept = np.load(file, allow_pickle=False)
                if int(kept["format"]) != FORMAT:
                    raise WrongRun(f"{path} has format {int(kept['format'])}; allowed: {FORMAT}; {cure}")
                layers = range(sum(name.startswith("weight") for name in kept.files))
                told = json.loads(kept["told"].tobytes())
                if not isinstance(told, dict):
                    raise BadOption("told", type(told).__name__, "a mapping")
                return cls(
                    mean=kept["mean"], scale=kept["scale"], threshold=float(kept["threshold"]),
                    weights=tuple(kept[f"weight{i}"] for i in layers), biases=tuple(kept[f"bias{i}"] for i in layers),
                    told=told, sights=_sights(kept),
                )  # fmt: skip
        except WrongRun:
            raise
        except _DAMAGED as error:
            raise WrongRun(f"{path} holds no reward classifier: {error}; {cure}") from error


def _sights(kept: Mapping[str, NDArray[Any]]) -> tuple[Sight, ...]:
    """Those of a file, by the names that `Network.save` gives."""
    found: dict[int, dict[str, dict[str, NDArray[Any]]]] = {}
    for name in kept:
        if name.startswith("sight/"):
            _, number, rest = name.split("/", 2)
            camera, _, what = rest.rpartition("/")
            found.setdefault(int(number), {}).setdefault(camera, {})[what] = kept[name]
    return tuple(Sight({camera: Eye.of(arrays) for camera, arrays in found[i].items()}) for i in range(len(found)))


class Classifier:
    """A Reward: 1 and success where the networks see it, else 0.

    Args:
        network: sees it.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    @classmethod
    def load(cls, path: Path | str) -> Classifier:
        """Of a file. Raises WrongRun."""
        return cls(Network.load(Path(path)))

    def __call__(self, obs: Mapping[str, NDArray[Any]], state: RobotState, scene: Scene, rule: RewardSignal, /) -> RewardSignal:
        """As `core.Reward`. Raises BadOption for observations other than it was trained on."""
        self.check(obs)
        success = bool(self.network.score(obs["state"], obs) > self.network.threshold)
        return RewardSignal(float(success), success, "classifier")

    def check(self, obs: Mapping[str, Any]) -> None:
        """Raises BadOption for observations, or their spaces, other than it was trained on."""
        seen = obs.get("state")
        if seen is None or seen.shape != self.network.mean.shape:
            given = sorted(obs) if seen is None else f"state of shape {seen.shape}"
            allowed = f"a state of shape {self.network.mean.shape}"
            raise BadOption("observation", given, allowed, "train a classifier on a buffer of such a run")
        for name, shape in self.network.pictures.items():
            picture = obs.get(name)
            if picture is None or picture.shape != shape or picture.dtype != np.uint8:
                given = sorted(obs) if picture is None else f"{picture.dtype} {name!r} of shape {picture.shape}"
                cure = "it was trained on pictures: use --obs pixels with its --side, or train one on this task"
                raise BadOption("observation", given, f"uint8 {name!r} of shape {shape}", cure)
