"""SAC-Flow: RLPD with an actor that is a flow. An action is noise at first, and a velocity carries it to where it is wanted.

    python -m baselines.sac_flow --robot franka-fr3 --seed 0

Zhang et al. 2025, "SAC Flow: Sample-Efficient Reinforcement Learning of Flow-Based Policies via Velocity-Reparameterized
Sequential Modeling". The actor is trained through its own sampler: the velocity is gated as the state of a GRU is (their
Flow-G), so gradients survive all its steps, and each step adds noise, so the way that an action came has a density, which
takes the place of the action's own. All else is RLPD's: critics, demonstrations, runs that go on.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from baselines.command import arguments, command
from baselines.config import Config as RlpdConfig
from user_gym.core import F32, Policy
from user_gym.errors import MissingExtra

try:
    import torch
    from torch import Tensor
    from torch.nn import functional

    from baselines import rlpd
    from baselines.networks import LOG_STD, ActorPolicy, Encoder, Ensemble
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error

OPEN = 5.0  # added to a gate before its sigmoid: at first it lets all through (theirs)


@dataclass(frozen=True, slots=True)
class Config(RlpdConfig):
    """What a run of SAC-Flow is."""

    method: ClassVar[str] = "sac-flow"

    learning_rate: float = 5e-4
    """falls to a twentieth of it over the last third; ours: RLPD's shakes an actor that acts through itself several times"""
    cloning: float = 1.0
    """as in RLPD, for every task and from pictures too; theirs keeps near the demonstrations as well (offline-to-online), the
    weight is ours, of peg insertion from state"""
    flow_steps: int = 4
    """of the sampler, from noise to action; theirs"""
    target_entropy: float = -9.0
    """nats, of the whole way of an action, what the temperature is adapted to"""


def carried(network: Callable[[Tensor], Tensor], features: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions (batch, a) in (-1, 1), and the log density (batch,) of the way that each came.

    Args:
        network: of features, place and step (batch, width + a + steps) to gate, aim and log standard deviation (batch, 3 a).
        features: (batch, width).
        noise: standard normal (steps + 1, batch, a): where the ways begin, and what each step adds.
    """
    steps, axes = len(noise) - 1, noise.shape[-1]
    x, log_density = noise[0], -0.5 * noise.square().sum((0, 2)) - 0.5 * math.log(2 * math.pi) * axes * (steps + 1)
    for step, added in zip(torch.eye(steps, dtype=x.dtype), noise[1:], strict=True):
        gate, aim, log_std = network(torch.cat([features, x, step.expand(len(x), -1)], -1)).chunk(3, -1)
        log_std = log_std.clamp(*LOG_STD)
        x = x + torch.sigmoid(gate + OPEN) * (aim - x) / steps + log_std.exp() * added
        log_density = log_density - log_std.sum(-1)
    # less the log derivative of tanh, as in squashed()
    return x.tanh(), log_density - 2.0 * (math.log(2.0) - x - functional.softplus(-2.0 * x)).sum(-1)


class FlowPolicy(ActorPolicy):
    """Carries noise to an action in numpy. Deterministic: the noise is the same in each episode, drawn anew at each step.

    A flow is a sampler, and its mean is no substitute for it: where the hole is not quite where it is said to be, drawn actions
    search, and their mean gets stuck (benchmarks/results/sac_flow.md). So deterministic episodes are repeatable, not noiseless.

    Args:
        net, vector, encoder, seed: as ActorPolicy.
        steps: of the way.
    """

    def __init__(self, net: Ensemble, vector: F32, encoder: Encoder | None, seed: int, steps: int) -> None:
        super().__init__(net, vector, encoder, seed)
        self._axes = net.shapes[-1][-1] // 3
        self._steps = np.eye(steps, dtype=np.float32)
        self._same = np.random.default_rng(0)

    def reset(self, seed: int | None = None) -> None:
        """As core.Policy.reset."""
        super().reset(seed)
        self._same = np.random.default_rng(0)

    def action(self, x: F32, deterministic: bool) -> NDArray[Any]:
        """As ActorPolicy.action."""
        rng, steps = self._same if deterministic else self.rng, len(self._steps)
        noise = rng.standard_normal((steps + 1, self._axes), np.float32)
        place = noise[0]
        for step, added in zip(self._steps, noise[1:], strict=True):
            gate, aim, log_std = self.output(np.concatenate([x, place, step])).reshape(3, -1)
            place = place + (aim - place) / (steps * (1.0 + np.exp(-gate - OPEN)))
            place = place + np.exp(np.minimum(np.maximum(log_std, LOG_STD[0]), LOG_STD[1])) * added
        return np.tanh(place)


class SacFlow(rlpd.Rlpd):
    """An Agent: Rlpd with a flow for an actor."""

    def __init__(self, observations: gymnasium.spaces.Dict, actions: gymnasium.spaces.Box, config: Config) -> None:
        self.flow_steps = config.flow_steps
        super().__init__(observations, actions, config)

    def network(self, width: int, axes: int, hidden: Sequence[int]) -> Ensemble:
        """As Rlpd.network. Which step it is, is told one-hot: a grid that never changes needs no finer time."""
        return Ensemble(1, (width + axes + self.flow_steps, *hidden, 3 * axes), normalise=False)

    def acting(self, net: Ensemble, vector: F32, encoder: Encoder | None) -> Policy:
        """As Rlpd.acting."""
        return FlowPolicy(net, vector, encoder, self.config.seed, self.flow_steps)

    def draw(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """As Rlpd.draw; the density is that of the whole way."""
        return carried(self.actor_output, features, self.noise(self.flow_steps + 1, len(features)))


def main(config: Config) -> dict[str, Any] | None:
    """As rlpd.main."""
    return rlpd.main(config, SacFlow)


if __name__ == "__main__":
    with command():
        sys.exit(130 if main(arguments(Config, __doc__)) is None else 0)
