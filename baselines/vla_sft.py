"""The learner of a small VLA: its model, its optimiser, and one update after another. It knows no run and no environment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.agent_file import read, write
from baselines.networks import spec_hash
from baselines.vla_demos import LABEL
from baselines.vla_network import FLOW_STEPS, STATE, VlaNetwork, VlaPolicy, flow_loss, spelled
from user_gym.core import Batch, Weights

if TYPE_CHECKING:
    from baselines.vla import VlaConfig


class Sft:
    """The model, its optimiser, and one update after another.

    Args:
        config: how to learn.
        cameras: names.
        axes: of an action, the largest of all tasks.
    """

    def __init__(self, config: VlaConfig, cameras: tuple[str, ...], axes: int) -> None:
        self.config, self.updates = config, 0
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.net = VlaNetwork(cameras, config.side, axes, config.horizon)
        self._generator = torch.Generator().manual_seed(config.seed)
        self._optimiser = torch.optim.AdamW(
            self.net.parameters(), config.learning_rate, (0.9, 0.95), weight_decay=config.weight_decay
        )

    def normalise(self, states: NDArray[np.float32]) -> None:
        """Take the scale of a state's entries from those of demonstrations (n, STATE)."""
        self.net.state_mean.copy_(torch.from_numpy(states.mean(0)))
        # An entry that hardly moves in demonstrations must not become a large one when it does.
        self.net.state_scale.copy_(torch.from_numpy(states.std(0).clip(0.05)))

    def further(self, config: VlaConfig) -> Sft:
        """A learner that goes on from this one's model, with updates, rates and an optimiser of its own."""
        other = Sft(config, self.net.cameras, self.net.axes)
        other.net.load_state_dict(self.net.state_dict())
        return other

    def update(self, parts: Mapping[str, Batch]) -> float:
        """One step of the optimiser; the parts are batches with a horizon, by prompt. Returns the loss."""
        memory, actions, counts = zip(*(self._read(prompt, batch) for prompt, batch in parts.items()), strict=True)
        loss = flow_loss(self.net, torch.cat(memory), torch.cat(actions), torch.cat(counts), self.config.draws, self._generator)
        self._optimiser.param_groups[0]["lr"] = self._rate()
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self._optimiser.step()
        self.updates += 1
        return float(loss.detach())

    def _rate(self) -> float:
        done = self.updates / self.config.updates
        return self.config.learning_rate * min(1.0, (self.updates + 1) / 100) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))

    def _read(self, prompt: str, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, actions and which of them count, of one task's rows: the expert's, and those of a human who corrected."""
        label = np.where(batch.is_intervention[..., None], batch.ordered, batch.extra[LABEL])
        rows, horizon, axes = label.shape
        valid = np.isfinite(label).all(-1) & (True if batch.valid is None else batch.valid)
        actions = torch.zeros(rows, horizon, self.net.axes)
        actions[..., :axes] = torch.from_numpy(np.nan_to_num(label))
        counts = torch.zeros_like(actions)
        counts[..., :axes] = torch.from_numpy(valid)[..., None].float()
        pictures = {name: torch.from_numpy(batch.obs[name]) for name in self.net.cameras}
        words = torch.from_numpy(spelled(prompt)).expand(rows, -1)
        return self.net.read(pictures, torch.from_numpy(batch.obs["state"][:, :STATE]), words), actions, counts

    @property
    def spec(self) -> str:
        """As Policy.spec_hash."""
        return spec_hash({}, self.net)

    def weights(self) -> Weights:
        """The model's parameters now."""
        return Weights(self.updates, {name: value.numpy() for name, value in self.net.state_dict().items()}, self.spec)

    def save(self, path: Path) -> None:
        """Write everything needed to go on exactly."""
        state = {"net": self.net.state_dict(), "optimiser": self._optimiser.state_dict(), "updates": self.updates}
        write(path, self.spec, state | {"random": self._generator.get_state()})

    def restore(self, path: Path, model_alone: bool = False) -> None:
        """Go on from what `save` wrote, or take the model alone of what it or another learner wrote. Raises WrongRun."""
        kept = read(path, self.spec)
        self.net.load_state_dict(kept["net"])
        self.updates = kept["updates"]
        if not model_alone:
            self._optimiser.load_state_dict(kept["optimiser"])
            self._generator.set_state(kept["random"])

    def policy(self, prompt: str, steps: int = FLOW_STEPS, noise_level: float = 0.0) -> VlaPolicy:
        """A policy with the model's parameters now; `prompt` is for observations that have none, the rest as of VlaPolicy."""
        policy = VlaPolicy(self.net, prompt, self.net.axes, self.config.seed, steps, noise_level)
        policy.load(self.weights())
        return policy
