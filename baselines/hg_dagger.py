"""HG-DAgger: a cloned policy acts, a human takes over where it goes astray, and it learns from what the human did there.

    python -m baselines.hg_dagger --demos 5

Kelly et al. 2019, "HG-DAgger: Interactive Imitation Learning with Human Experts"; only the human's own steps are added to the
demonstrations. The human is scripted: `baselines.supervisor`. An interrupted run goes on when the command is repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from baselines.command import arguments, command
from baselines.config import OnlineSetting
from user_gym.core import real
from user_gym.errors import BadOption, MissingExtra
from user_gym.system import Buffer, Mixture
from user_gym.wrappers import Intervention

try:
    import torch

    from baselines.bc import Cloning
    from baselines.episodes import hand, make
    from baselines.experience import DEMOS, OWN
    from baselines.online import Method, run
    from baselines.supervisor import HELD, Supervisor
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error

LEARNED = f"{DEMOS} OR is_intervention"  # what the expert did, before the run and in it
HUMAN_SEED = 1_000_000  # plus the run's own: of the human's noise, apart from that of its demonstrations


@dataclass(frozen=True, slots=True)
class Config(OnlineSetting):
    """What a run of HG-DAgger is."""

    method: ClassVar[str] = "hg-dagger"
    relative: ClassVar[bool] = True

    env_id: str = "User/PegInsert-sim-v0"
    """which environment; of the tasks whose progress the scripted human can see: PegInsert, Charger, TableCleanup"""
    demos: int = 2
    """successful demonstrations to begin with; ours: few, so that there is something to correct"""
    steps: int = 6000
    """environment steps, those of the human among them; ours"""
    updates_per_step: float = 2.0
    """updates for each environment step; ours"""
    updates_before: int = 4000
    """updates before the first step, from the demonstrations alone: `baselines.bc` with the same seed ends with that policy"""
    weight_decay: float = 0.03
    """as `bc.Config.weight_decay`"""
    patience: int = 60
    """periods without getting nearer after which the human takes over; ours: less interrupts the search for the hole, so that
    the human comes as often when the policy is good (benchmarks/results/corrections.md)"""
    held: int = HELD
    """periods that the human acts at least; ours"""
    human_noise: float = 0.05
    """as demo_noise, of the human who corrects: the policy's mistakes make corrections varied enough; ours. With 0.1 half of
    what a policy learns of the search for the hole is noise (three tuning seeds: 0.86 0.72 0.92, with 0.05: 0.96 0.98 0.94)"""
    learning_starts: int = 0
    """environment steps before the first update that is made for them"""

    @property
    def phases(self) -> Sequence[int]:
        """As `bc.Cloned.phases`."""
        return self.updates_before, round(self.steps * self.updates_per_step)

    def __post_init__(self) -> None:
        OnlineSetting.__post_init__(self)  # super() does not find its class where a dataclass has slots
        real("weight_decay", self.weight_decay, 0.0, 100.0, "0 .. 100")
        real("human_noise", self.human_noise, 0.0, 1.0, "0 .. 1, in units of the action")
        if not self.demos:
            raise BadOption("demos", self.demos, "1 or more: the policy that is corrected is cloned first")


def by_quarter(buffer: Buffer) -> Mapping[str, Any]:
    """How often and how long the human acted, in each quarter of a run's episodes."""
    own = buffer.view(OWN)
    steps = buffer.steps(own.numbers(), ("is_intervention", "terminated", "truncated"))
    human, over = steps["is_intervention"], steps["terminated"] | steps["truncated"]
    episode = np.cumsum(over) - over  # the step that ends one still belongs to it
    began = human & ~(np.concatenate([[False], human[:-1]]) & (np.diff(episode, prepend=-1) == 0))
    quarter = 4 * episode // (episode[-1] + 1)
    episodes = np.array([len(np.unique(episode[quarter == q])) for q in range(4)])
    return {
        "episodes": int(episode[-1]) + 1,
        "labels": len(buffer.view(LEARNED)),
        "interventions_per_episode": (np.bincount(quarter, began, 4) / np.maximum(episodes, 1)).round(3).tolist(),
        "share_of_steps_by_human": [round(float(human[quarter == q].mean()), 3) for q in range(4) if episodes[q]],
    }


def main(config: Config) -> dict[str, Any] | None:
    """Make or continue a run; its summary, or None when it was interrupted."""
    torch.set_num_threads(1)  # for networks this small, more threads only wait for each other
    inner = make(config)
    with closing(inner), closing(inner if config.one_robot else make(config)) as judge:
        human = hand(inner, config.human_noise, HUMAN_SEED + config.seed)
        env = Intervention(inner, Supervisor(judge.unwrapped.task, human, config.patience, config.held))  # pyright: ignore[reportAttributeAccessIssue]
        agent = Cloning(env.observation_space, env.action_space, config)  # pyright: ignore[reportArgumentType]
        method = Method(
            agent,
            lambda buffer: Mixture([(buffer.view(LEARNED), 1.0)], config.batch_size),
            acting="corrected",
            told=by_quarter,
        )
        return run(config, env, judge, method)


if __name__ == "__main__":
    with command():
        sys.exit(130 if main(arguments(Config, __doc__)) is None else 0)
