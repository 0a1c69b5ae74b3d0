"""Behaviour cloning: a policy that does what demonstrations did where they did it. One command, from nothing to a film.

    python -m baselines.bc --demos 5

Least squares of what was ordered; nothing is learned by acting. An interrupted run goes on when the command is repeated.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from baselines.command import arguments, command
from baselines.config import Setting
from user_gym.core import Batch, Policy, real
from user_gym.errors import BadOption, MissingExtra
from user_gym.system import Buffer, Counters, Mixture
from user_gym.system.atomic_file import write_json
from user_gym.system.metrics import TensorBoard

try:
    import torch

    from baselines.agent_file import read, write
    from baselines.episodes import GLANCE_SEED, demonstrate, evaluate, make
    from baselines.experience import DEMOS, own_buffer
    from baselines.networks import Encoder, Ensemble, MeanPolicy, seen, spec_hash
    from baselines.online import GLANCE, film, frozen, rehearse, report
    from baselines.report import Clock, Live, draw_curve
    from baselines.run_folder import Run
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error


@dataclass(frozen=True, slots=True)
class Config(Setting):
    """What a run of behaviour cloning is."""

    method: ClassVar[str] = "bc"
    relative: ClassVar[bool] = True

    updates: int = 4000
    """with one batch each; ours"""
    weight_decay: float = 0.03
    """of AdamW, so that the noise of few demonstrations is not learned by heart; ours"""
    eval_every: int = 1000
    """updates between two looks at the policy, 20 episodes each; they only draw the curve"""

    @property
    def phases(self) -> Sequence[int]:
        """As Cloned.phases."""
        return (self.updates,)

    def __post_init__(self) -> None:
        Setting.__post_init__(self)  # super() does not find its class where a dataclass has slots
        real("weight_decay", self.weight_decay, 0.0, 100.0, "0 .. 100")
        if not self.demos:
            raise BadOption("demos", self.demos, "1 or more: there is nothing else to learn from")


class Cloned(Protocol):
    """What `Cloning` has to know of a run."""

    @property
    def seed(self) -> int:
        """As Setting.seed."""
        ...

    @property
    def hidden(self) -> int:
        """As Setting.hidden."""
        ...

    @property
    def learning_rate(self) -> float:
        """As Setting.learning_rate."""
        ...

    @property
    def weight_decay(self) -> float:
        """As Config.weight_decay."""
        ...

    @property
    def phases(self) -> Sequence[int]:
        """Updates of each phase of learning; over the last third of each the learning rate falls."""
        ...


class Cloning:
    """An Agent: fits the mean of its policy to what was ordered.

    Args:
        observations: a Dict with "state" and, for pictures, uint8 entries.
        actions: a Box in [-1, 1].
        config: hyperparameters.
    """

    def __init__(self, observations: gymnasium.spaces.Dict, actions: gymnasium.spaces.Box, config: Cloned) -> None:
        self._rate, self._decay = config.learning_rate, config.weight_decay
        self._ends = list(accumulate(config.phases, initial=0))
        self._generator = torch.Generator().manual_seed(config.seed)
        cameras = {name: space.shape[:2] for name, space in observations.items() if space.dtype == np.uint8 and space.shape}
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.encoder = Encoder(cameras) if cameras else None
        width = math.prod(observations["state"].shape or ()) + (self.encoder.size if self.encoder else 0)
        self._actor = Ensemble(1, (width, config.hidden, config.hidden, actions.shape[0]), normalise=False)
        self.actor = self._actor.initial(self._generator, last=0.01).requires_grad_()
        self.policy: Policy = MeanPolicy(self._actor, self.actor.detach().numpy(), copy.deepcopy(self.encoder), config.seed)
        self._spec = spec_hash({"actor": self._actor}, self.encoder)
        self.updates = 0
        self._metrics: Mapping[str, float] = {}

    @cached_property
    def _optimiser(self) -> torch.optim.Optimizer:
        encoder = list(self.encoder.parameters()) if self.encoder else []
        return torch.optim.AdamW(  # made late: see baselines.rlpd
            [self.actor, *encoder], self._rate, weight_decay=self._decay, fused=True
        )

    def update(self, batch: Batch) -> Mapping[str, float]:
        """One step towards what was ordered. The metric is of every 100th."""
        action = self._actor(self.actor, seen(self.encoder, batch.obs, self._generator))[0].tanh()
        loss = (action - torch.from_numpy(batch.ordered)).square().mean()
        self._optimiser.param_groups[0]["lr"] = self._rate * self._slower()
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self.updates += 1
        if self.updates % 100 == 0:
            self._metrics = {"loss": float(loss.detach())}
        return self._metrics

    def _slower(self) -> float:
        """Share of the learning rate: so a phase's last policy is no momentary swing of a good one."""
        for begin, end in zip(self._ends, self._ends[1:], strict=False):
            if self.updates < end:
                return min(1.0, max(0.05, 3.0 * (end - self.updates) / (end - begin)))
        return 0.05

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """The actor's vector, and the encoder's tensors."""
        encoder = self.encoder.state_dict() if self.encoder else {}
        return {"actor": self.actor.detach().numpy(), **{name: value.numpy() for name, value in encoder.items()}}

    def save(self, path: Path) -> None:
        """Network, optimiser and random numbers."""
        state = {
            "actor": self.actor.detach(),
            "encoder": self.encoder.state_dict() if self.encoder else {},
            "optimiser": self._optimiser.state_dict(),
            "random": self._generator.get_state(),
            "updates": self.updates,
        }
        write(path, self._spec, state)

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote. Raises WrongRun."""
        kept = read(path, self._spec)
        with torch.no_grad():
            self.actor.copy_(kept["actor"])
        if self.encoder is not None:
            self.encoder.load_state_dict(kept["encoder"])
        self._optimiser.load_state_dict(kept["optimiser"])
        self._generator.set_state(kept["random"])
        self.updates = kept["updates"]


def _fit(config: Config, run: Run, env: gymnasium.Env[Any, Any], agent: Cloning, buffer: Buffer) -> None:
    """Learn from the newest checkpoint on, with a checkpoint at each look."""
    board = TensorBoard(run.folder / "tensorboard")
    run.restore(agent.restore)
    demonstrate(env, buffer, config)
    sampler = Mixture([(buffer.view(DEMOS), 1.0)], config.batch_size)
    earlier, clock = dict(run.seconds), Clock()
    with Live(board, config.updates, unit="updates") as live:
        while agent.updates < config.updates:
            due = config.eval_every * (agent.updates // config.eval_every + 1)
            rehearse(agent, sampler, buffer, config.seed, min(due, config.updates))
            before = clock.read()
            success, _ = evaluate(env, frozen(agent), GLANCE, first_seed=GLANCE_SEED)
            run.curve.append({"updates": agent.updates, "success_rate": None, "deterministic": success})
            live.show(agent.updates, {"success/deterministic": success}, f"success {success:4.2f} deterministic")
            run.seconds = {"wall": earlier["wall"] + before[0], "cpu": earlier["cpu"] + before[1]}
            run.save(agent.save, Counters(updates=agent.updates))
            clock.resume(before)


def _conclude(config: Config, run: Run, env: gymnasium.Env[Any, Any], agent: Cloning, labels: int) -> dict[str, Any]:
    """Evaluate the last policy, draw the curve, film it, and sum up."""
    policy = frozen(agent)
    success, length = evaluate(env, policy, config.eval_episodes)
    summary = {
        "success_rate": success, "eval_episodes": config.eval_episodes, "mean_length": length,
        "policy": "the last one, deterministic, evaluation seeds the same for all runs",
        "env_steps": 0, "updates": agent.updates, "demos": config.demos, "labels": labels,
        "train_s": round(run.seconds["wall"], 2), "train_cpu_s": round(run.seconds["cpu"], 2),
        "robot": config.robot, "seed": config.seed, "env_id": config.env_id, "obs": config.obs,
    }  # fmt: skip
    title = f"behaviour cloning, {config.env_id}, {config.robot}, seed {config.seed}"
    draw_curve(run.folder / "curve.png", run.curve, title, ("updates", "updates"))
    film(config, policy, run)
    summary |= {"wall_s": round(run.total, 2)}
    write_json(run.folder / "summary.json", summary)
    return summary


def main(config: Config) -> dict[str, Any]:
    """Make or continue a run; its summary. `labels` in it is how many steps were learned from."""
    torch.set_num_threads(1)  # for networks this small, more threads only wait for each other
    with closing(make(config)) as env, closing(Run(config.folder, config.identity)) as run:
        agent = Cloning(env.observation_space, env.action_space, config)  # pyright: ignore[reportArgumentType]
        run.open()  # only now: a configuration that cannot be made leaves no folder
        summary = run.summary
        if summary is None:
            with own_buffer(run) as buffer:
                _fit(config, run, env, agent, buffer)
                labels = len(buffer.view(DEMOS))
            summary = _conclude(config, run, env, agent, labels)
        else:
            print(f"{run.folder} is finished; remove it or choose another --run-dir to train again")
    report(config, summary)
    return summary


if __name__ == "__main__":
    with command():
        main(arguments(Config, __doc__))
