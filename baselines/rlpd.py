"""RLPD: soft actor-critic that draws half of every batch from demonstrations. One command, from nothing to a film.

    python -m baselines.rlpd --robot franka-fr3 --seed 0

Ball et al. 2023, "Efficient Online Reinforcement Learning with Offline Data": layer-normalised critics, several updates per
step, symmetric sampling. The set-up for insertion follows RLinf's. An interrupted run goes on when the command is repeated.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from baselines.command import arguments, command
from baselines.config import Config
from user_gym.core import F32, Batch, Policy
from user_gym.embodiment import AXES
from user_gym.errors import MissingExtra

try:
    import torch
    from torch import Tensor

    from baselines.agent_file import read, write
    from baselines.episodes import make
    from baselines.experience import earlier_experience, mixture
    from baselines.networks import Encoder, Ensemble, GaussianPolicy, seen, spec_hash, squashed
    from baselines.online import Method, run
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error


def critic_target(reward: Tensor, terminated: Tensor, next_value: Tensor, discount: float) -> Tensor:
    """What Q should be (batch,). Only a terminated step has no future; a truncated one has, it was merely not watched."""
    # Of the future the reward alone counts, not the entropy of acting in it (RLPD's backup_entropy=False): with a reward of one
    # at the very end, values are the discounted chance of success, and a bonus for being undecided would drown it.
    return reward + discount * torch.where(terminated, 0.0, next_value)


def had(action: Tensor, batch: Batch) -> Tensor:
    """Of actions (batch, axes) what the bodies of a batch have, zero elsewhere: of one body all, see user_gym.embodiment."""
    return action * torch.from_numpy(batch.obs[AXES]) if AXES in batch.obs else action


class Rlpd:
    """An Agent: soft actor-critic. A subclass with another actor says so in `network`, `acting` and `draw`.

    Args:
        observations: a Dict with "state" and, for pictures, uint8 entries.
        actions: a Box in [-1, 1].
        config: hyperparameters.
    """

    def __init__(self, observations: gymnasium.spaces.Dict, actions: gymnasium.spaces.Box, config: Config) -> None:
        self.config = config
        self._generator = torch.Generator().manual_seed(config.seed)
        cameras = {name: space.shape[:2] for name, space in observations.items() if space.dtype == np.uint8 and space.shape}
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.encoder = Encoder(cameras) if cameras else None
        width, axes, hidden = math.prod(observations["state"].shape or ()), actions.shape[0], (config.hidden, config.hidden)
        width += self.encoder.size if self.encoder else 0
        self._actor = self.network(width, axes, hidden)
        self._critic = Ensemble(config.critics, (width + axes, *hidden, 1), normalise=True)
        self.actor = self._actor.initial(self._generator, last=0.01).requires_grad_()
        self.critic = self._critic.initial(self._generator).requires_grad_()
        self.target = self.critic.detach().clone()
        # With pictures: of what is seen, what a demonstration would order. Rewards alone teach an encoder late where to look.
        self._guide = Ensemble(1, (width, config.hidden, axes), normalise=False)
        self.guide = self._guide.initial(self._generator).requires_grad_() if self.encoder else torch.zeros(0)
        self.log_alpha = torch.tensor(math.log(config.temperature), dtype=torch.float32, requires_grad=True)
        self._axes = axes
        self.policy: Policy = self.acting(self._actor, self.actor.detach().numpy(), copy.deepcopy(self.encoder))
        nets = {"actor": self._actor, "critic": self._critic}
        self._spec = spec_hash(nets | ({"guide": self._guide} if self.encoder else {}), self.encoder)
        self._vectors = ("actor", "critic", "target", "log_alpha", *(("guide",) if self.encoder else ()))
        self.updates = 0
        self._metrics: dict[str, float] = {}

    def network(self, width: int, axes: int, hidden: Sequence[int]) -> Ensemble:
        """The actor's, of features of that width and actions of so many axes."""
        return Ensemble(1, (width, *hidden, 2 * axes), normalise=False)

    def acting(self, net: Ensemble, vector: F32, encoder: Encoder | None) -> Policy:
        """What acts with that network and those parameters."""
        return GaussianPolicy(net, vector, encoder, self.config.seed)

    def draw(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (batch, axes) of the actor as it is, and their log density (batch,), as functions of its parameters."""
        return squashed(self.actor_output(features), self.noise(len(features)))

    @cached_property
    def _critic_optimiser(self) -> torch.optim.Optimizer:
        # Made when it is needed: the first optimiser imports torch's compiler, two seconds that who only acts need not wait.
        sight = [self.guide, *self.encoder.parameters()] if self.encoder else []
        return torch.optim.Adam([self.critic, *sight], self.config.learning_rate, fused=True)

    @cached_property
    def _actor_optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.Adam([self.actor, self.log_alpha], self.config.learning_rate, fused=True)

    def update(self, batch: Batch) -> Mapping[str, float]:
        """One step of the critics, and every `actor_every` times of actor and temperature. Metrics are of every 100th."""
        # Ordered, not executed: the critics would otherwise never see an action outside the safety box, which the actor does
        # order. After 3000 steps of peg insertion (franka-fr3, seeds 0 and 1): executed 0 and 39, ordered 50 and 50 of 50.
        reward, terminated, ordered = (torch.from_numpy(x) for x in (batch.reward, batch.terminated, batch.ordered))
        x, ordered = seen(self.encoder, batch.obs, self._generator), had(ordered, batch)
        with torch.no_grad():
            after = seen(self.encoder, batch.next_obs, self._generator)
            future_action = had(self.draw(after)[0], batch)
            future = self._critic(self.target, torch.cat([after, future_action], -1))[..., 0]
            wanted = critic_target(reward, terminated, self._lowest(future), self.config.discount)
        values = self._critic(self.critic, torch.cat([x, ordered], -1))[..., 0]
        critic_loss = (values - wanted).square().mean(-1).sum()
        self._critic_optimiser.zero_grad()
        (critic_loss + self._misguided(x, ordered, batch) if self.encoder else critic_loss).backward()
        self._critic_optimiser.step()
        self.target.lerp_(self.critic.detach(), self.config.averaging)
        self.updates += 1
        self._slow_down()
        if self.updates % self.config.actor_every == 0:
            self._improve_actor(x.detach(), ordered, batch)
        if self.updates % 100 == 0:
            alpha = self.log_alpha.detach().exp()
            self._metrics |= {
                "critic_loss": float(critic_loss.detach()),
                "value": float(values.detach().mean()),
                "temperature": float(alpha),
            }
        return self._metrics

    def _slow_down(self) -> None:
        """Lower the learning rate over the last third, so that the last policy is no momentary swing of a good one."""
        total = max(1.0, (self.config.steps - self.config.learning_starts) * self.config.updates_per_step)
        done = (self.updates - self.config.updates_before) / total
        rate = self.config.learning_rate * min(1.0, max(0.05, 3.0 * (1.0 - done)))
        for optimiser in (self._critic_optimiser, self._actor_optimiser):
            optimiser.param_groups[0]["lr"] = rate

    def actor_output(self, features: Tensor) -> Tensor:
        """What the actor's network says: mean and log standard deviation (batch, 2 axes) before the tanh."""
        return self._actor(self.actor, features)[0]

    def _improve_actor(self, x: Tensor, ordered: Tensor, batch: Batch) -> None:
        """Towards what the critics value and, with `cloning`, towards what was ordered where that was shown, not tried."""
        drawn, log_density = self.draw(x)
        action = had(drawn, batch)
        value = self._critic(self.critic.detach(), torch.cat([x, action], -1))[..., 0].mean(0)
        surprise = log_density.detach().mean() + self.config.target_entropy
        loss = (self.log_alpha.detach().exp() * log_density - value).mean() - self.log_alpha * surprise
        if self.config.cloning:
            # Without it, critics that never saw an episode end believe in hovering over the box with the duck in hand: values
            # of 1.8 where 1 is the most, 0.00 success after 8000 steps of picking and placing (franka-fr3, seed 10).
            shown = torch.from_numpy(batch.policy_version < 0)
            loss = loss + self.config.cloning * (shown * (action - ordered).square().sum(-1)).mean()
        self._actor_optimiser.zero_grad()
        loss.backward()
        self._actor_optimiser.step()
        if self.updates % 100 == 0:
            self._metrics["entropy"] = -float(log_density.detach().mean())

    def _misguided(self, x: Tensor, ordered: Tensor, batch: Batch) -> Tensor:
        """How far from what demonstrations ordered that is which features say they would."""
        shown = torch.from_numpy(batch.policy_version < 0)
        off = had(self._guide(self.guide, x)[0].tanh(), batch) - ordered
        return (shown * off.square().sum(-1)).mean()

    def _lowest(self, values: Tensor) -> Tensor:
        """The smaller of two critics (batch,), drawn anew each time where there are more than two."""
        if len(values) > 2:
            values = values[torch.randperm(len(values), generator=self._generator)[:2]]
        return values.amin(0)

    def noise(self, *shape: int) -> Tensor:
        """Standard normal draws (*shape, axes)."""
        return torch.randn((*shape, self._axes), generator=self._generator)

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """The actor's vector, and the encoder's tensors."""
        encoder = self.encoder.state_dict() if self.encoder else {}
        return {"actor": self.actor.detach().numpy(), **{name: value.numpy() for name, value in encoder.items()}}

    def save(self, path: Path) -> None:
        """Networks, optimisers and random numbers."""
        state = {
            **{name: getattr(self, name).detach() for name in self._vectors},
            "encoder": self.encoder.state_dict() if self.encoder else {},
            "optimisers": [self._critic_optimiser.state_dict(), self._actor_optimiser.state_dict()],
            "random": self._generator.get_state(),
            "updates": self.updates,
        }
        write(path, self._spec, state)

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote. Raises WrongRun."""
        kept = read(path, self._spec)
        with torch.no_grad():
            for name in self._vectors:
                getattr(self, name).copy_(kept[name])
        if self.encoder is not None:
            self.encoder.load_state_dict(kept["encoder"])
        for optimiser, state in zip((self._critic_optimiser, self._actor_optimiser), kept["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self._generator.set_state(kept["random"])
        self.updates = kept["updates"]


def main(config: Config, build: type[Rlpd] = Rlpd) -> dict[str, Any] | None:
    """Make or continue a run of the agent that `build` makes; its summary, or None when it was interrupted."""
    torch.set_num_threads(1)  # for networks this small, more threads only wait for each other
    env = make(config)
    with (
        closing(env),
        closing(env if config.one_robot else make(config)) as judge,
        earlier_experience(config, env) as experience,
    ):
        agent = build(env.observation_space, env.action_space, config)  # pyright: ignore[reportArgumentType]
        # Only now: a configuration that cannot be made leaves no folder.
        return run(config, env, judge, Method(agent, lambda buffer: mixture(buffer, experience, config)))


if __name__ == "__main__":
    with command():
        sys.exit(130 if main(arguments(Config, __doc__)) is None else 0)
