"""PPO of a flow: the way from noise to actions as a Markov chain whose likelihood is known. It knows no environment and no run.

Flow-SDE as in piRL (Chen et al. 2025, arXiv 2510.25889), after Flow-GRPO (Liu et al. 2025, arXiv 2505.05470). The sampler of a
flow is an ODE, and what its actions' likelihoods are would cost too much to compute. An SDE with the same marginals adds noise
at each of a few steps: then the way is a chain of Gaussians, and its likelihood is their product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.agent_file import read, write
from baselines.networks import spec_hash
from baselines.vla_network import STATE, VlaNetwork, transition, walked
from user_gym.core import real, whole

EXPERT = {"enter", "turn", "when", "makers", "leave"}  # parts of the model that make actions: what is trained
Seen = Mapping[str, NDArray[Any]]  # an observation
CLIPPED = 0.5  # largest norm of a gradient; PPO's usual


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPpoConfig:
    """How a flow is learned by PPO."""

    flow_steps: int = 4
    """of the way from noise to actions"""
    noise_level: float = 0.3
    """of the SDE; RLinf's 0.5 shook a peg off its hole too often"""
    epochs: int = 4
    """over what was collected; fewer where the policy has moved far"""
    batch_size: int = 256
    """chunks per update"""
    clip: float = 0.2
    """of the ratio of likelihoods"""
    furthest: float = 0.15
    """estimated KL divergence from the policy that acted, nats per chunk, mean of an epoch, after which that was the last"""
    learning_rate: float = 4e-5
    """of what makes actions"""
    critic_rate: float = 3e-3
    """of the critic"""
    critic_epochs: int = 4
    """over what was collected; many more, and it knows the episodes by heart"""
    discount: float = 0.99
    """from one chunk to the next"""
    trace: float = 0.5
    """lambda of generalised advantage estimation; short, where whether a search succeeds says little of how it began"""
    seed: int = 0
    """of starts, noise and the critic"""

    def __post_init__(self) -> None:
        for name in ("flow_steps", "epochs", "batch_size", "critic_epochs"):
            whole(name, getattr(self, name), 1)
        whole("seed", self.seed, 0)
        real("noise_level", self.noise_level, 1e-3, 1.0, "0.001 .. 1: the ODE alone has no likelihood")
        real("clip", self.clip, 1e-3, 1.0, "0.001 .. 1")
        real("furthest", self.furthest, 0.0, math.inf, "0 or more")
        for name in ("learning_rate", "critic_rate"):
            real(name, getattr(self, name), 1e-8, 1.0, "1e-8 .. 1")
        for name in ("discount", "trace"):
            real(name, getattr(self, name), 0.0, 1.0, "0 .. 1")


def log_likelihood(net: VlaNetwork, memory: Tensor, ways: Tensor, level: float, counted: tuple[int, int]) -> Tensor:
    """Of ways (n, steps + 1, horizon, axes), given where they begin: (n,).

    Of each step that part is counted whose actions are carried out, as in piRL: a surrogate, since the others of the chunk,
    through attention, have a say in the next step. An episode's last chunk counts actions that it had no time for.

    Args:
        net: the model.
        memory: (n, tokens, width) of `read`.
        ways: of `walked`.
        level: of noise.
        counted: the first actions of a chunk, and axes, that are counted.
    """
    steps, (turns, axes) = ways.shape[1] - 1, counted
    time = (torch.arange(steps) / steps).repeat(len(ways))
    mean, deviation = transition(net, memory, ways[:, :-1].flatten(0, 1), time, 1.0 / steps, level)
    off = ((ways[:, 1:].flatten(0, 1) - mean) / deviation)[:, :turns, :axes]
    each = -0.5 * off.square() - deviation.log() - 0.5 * math.log(2.0 * math.pi)
    return each.flatten(1).sum(1).unflatten(0, (-1, steps)).sum(1)


@dataclass(frozen=True, slots=True)
class Practice:
    """What was collected: a row for each chunk, those of an episode one after the other."""

    memory: Tensor  # (n, tokens, width)
    told: Tensor  # (n, told) to the critic
    ways: Tensor  # (n, steps + 1, horizon, axes)
    episode: Tensor  # (n,)
    reward: Tensor  # (n,) sum over the chunk
    success: float  # rate
    steps: int  # of the environment


class Learned(NamedTuple):
    """What the updates of one iteration were like."""

    divergence: float  # estimated KL divergence from the policy that acted, nats per chunk, mean of the last epoch
    epochs: int
    explained: float | None  # share of the returns' variance, at most 1, below 0 where a mean were better; None: there was none


class FlowPpo:
    """The learner.

    Args:
        net: trained in place, as far as it makes actions.
        counted: actions of a chunk that are carried out, and axes of the robot.
        told: numbers that the critic is told.
        config: how to learn.
    """

    def __init__(self, net: VlaNetwork, counted: tuple[int, int], told: int, config: FlowPpoConfig) -> None:
        self.net, self.counted, self.config, self.iterations = net, counted, config, 0
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(name.split(".")[0] in EXPERT)
        self._expert = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self._generator = torch.Generator().manual_seed(config.seed)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            layers = (nn.Linear(told, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 1))
            self.critic = nn.Sequential(*layers)
        self._optimiser = torch.optim.Adam(self._expert, config.learning_rate)
        self._critic_optimiser = torch.optim.Adam(self.critic.parameters(), config.critic_rate)
        self._spec = spec_hash({}, net)  # so `vla.load` knows what was saved

    @torch.no_grad()
    def draw(self, observations: Sequence[Seen], words: Tensor) -> tuple[Tensor, Tensor]:
        """Memory and ways, as in Practice, for what is seen."""
        net, rows = self.net, len(observations)
        pictures = {name: torch.from_numpy(np.stack([seen[name] for seen in observations])) for name in net.cameras}
        state = torch.from_numpy(np.stack([seen["state"][:STATE] for seen in observations]))
        memory = net.read(pictures, state, words.expand(rows, -1))
        shape = (rows, self.config.flow_steps + 1, net.horizon, net.axes)
        return memory, walked(net, memory, torch.randn(shape, generator=self._generator), self.config.noise_level)

    def likelihood(self, memory: Tensor, ways: Tensor) -> Tensor:
        """Logarithms (n,) of the likelihoods of ways, now."""
        return log_likelihood(self.net, memory, ways, self.config.noise_level, self.counted)

    def update(self, practice: Practice) -> Learned:
        """One iteration's updates."""
        config, size = self.config, self.config.batch_size
        with torch.no_grad():
            parts = zip(practice.memory.split(size), practice.ways.split(size), strict=True)
            before = torch.cat([self.likelihood(*part) for part in parts])
            values = self.critic(practice.told)[:, 0]
        # The critic learns from what was really earned, so a short trace does not have to wait for it to find out step by step.
        goal = advantages(practice.reward, torch.zeros_like(values), practice.episode, config.discount, 1.0)
        advantage = advantages(practice.reward, values, practice.episode, config.discount, config.trace)
        advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-6)
        divergence, epochs = 0.0, 0
        while epochs < config.epochs and divergence <= config.furthest:
            moves: list[float] = []
            for rows in torch.randperm(len(goal), generator=self._generator).split(size):
                log_ratio = self.likelihood(practice.memory[rows], practice.ways[rows]) - before[rows]
                ratio, gain = log_ratio.exp(), advantage[rows]
                chosen = torch.minimum(ratio * gain, ratio.clamp(1.0 - config.clip, 1.0 + config.clip) * gain)
                self._optimiser.zero_grad()
                (-chosen.mean()).backward()
                nn.utils.clip_grad_norm_(self._expert, CLIPPED)
                self._optimiser.step()
                moves.append(float((ratio - 1.0 - log_ratio).mean().detach()))  # Schulman's estimate of the divergence
            divergence, epochs = float(np.mean(moves)), epochs + 1
        for _ in range(config.critic_epochs):
            for rows in torch.randperm(len(goal), generator=self._generator).split(size):
                self._critic_optimiser.zero_grad()
                (self.critic(practice.told[rows])[:, 0] - goal[rows]).square().mean().backward()
                self._critic_optimiser.step()
        self.iterations += 1
        spread, missed = (float(of.var(correction=0)) for of in (goal, goal - values))
        return Learned(divergence, epochs, 1.0 - missed / spread if spread else None)

    def save(self, path: Path) -> None:
        """Write everything needed to go on exactly."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        write(path, self._spec, state | {"random": self._generator.get_state(), "updates": self.iterations})

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote. Raises WrongRun."""
        kept = read(path, self._spec)
        for name, part in self._parts().items():
            part.load_state_dict(kept[name])
        self._generator.set_state(kept["random"])
        self.iterations = kept["updates"]

    def _parts(self) -> dict[str, Any]:
        return {
            "net": self.net, "critic": self.critic,
            "optimiser": self._optimiser, "critic_optimiser": self._critic_optimiser,
        }  # fmt: skip


def advantages(reward: Tensor, value: Tensor, episode: Tensor, discount: float, trace: float) -> Tensor:
    """Generalised advantage estimates (n,), episodes one after the other; nothing comes after an episode's last chunk."""
    found, after = torch.zeros_like(value), 0.0
    for row in reversed(range(len(value))):
        last = row + 1 == len(value) or bool(episode[row + 1] != episode[row])
        ahead = 0.0 if last else float(value[row + 1])
        after = float(reward[row]) + discount * ahead - float(value[row]) + (0.0 if last else discount * trace * after)
        found[row] = after
    return found
