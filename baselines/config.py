"""What a run is, as the command line takes it: what all runs have, what runs on an environment have, and RLPD's.

Where a number comes from: "RLPD" is Ball et al. 2023, "RLinf" its peg insertion on a real arm, which follows SERL; "ours" was
tuned on the training seeds 0 to 4, for PickPlace and Charger on 10 to 12 and, the averaging of the Charger and from
pictures, on 21; on no others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from baselines.rewards import RULE, meant, parse
from user_gym.errors import BadOption

_RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 99_999),  # episodes of training, evaluation and demonstrations keep apart: see baselines.episodes
    "steps": (1, math.inf),
    "demos": (0, math.inf),
    "demo_noise": (0.0, 1.0),
    "updates": (1, math.inf),
    "updates_per_step": (0.001, 1000.0),
    "updates_before": (0, math.inf),
    "learning_starts": (0, math.inf),
    "batch_size": (2, math.inf),  # one demonstration and one of the agent's own
    "learning_rate": (1e-8, 1.0),
    "discount": (0.0, 1.0),
    "averaging": (1e-6, 1.0),
    "cloning": (0.0, 1000.0),
    "critics": (1, math.inf),
    "hidden": (1, math.inf),
    "side": (16, 128),
    "actor_every": (1, math.inf),
    "temperature": (1e-8, 100.0),
    "target_entropy": (-1000.0, 1000.0),
    "flow_steps": (1, 100),
    "patience": (1, math.inf),
    "held": (1, math.inf),
    "eval_every": (1, math.inf),
    "eval_episodes": (1, math.inf),
}
# What RLPD takes where nothing is asked for; the reward of a longer task has a longer way back through the target critics.
_USUAL: dict[str, float] = {"steps": 3500, "averaging": 0.005, "cloning": 0.0, "demos": 20}
_USUAL |= {"batch_size": 128, "updates_per_step": 4.0, "actor_every": 4}
_NOTHING_ASKED = dict.fromkeys(_USUAL, 0) | {"cloning": -1, "demos": -1}
# Beside that from pictures, where an update takes ten times as long; tuned on peg insertion. What a task takes counts more.
_FROM_PICTURES: dict[str, float] = {"steps": 6000, "averaging": 0.02, "cloning": 0.3, "demos": 60}
_FROM_PICTURES |= {"batch_size": 64, "updates_per_step": 2.0, "actor_every": 2}
_SEVERAL_BODIES: dict[str, float] = {"averaging": 0.02}  # with 0.005 two arms took more steps than one (results/bodies.md)
_OF_TASKS: dict[str, dict[str, float]] = {
    # With 0.005 the mean of its policy can stay stuck where drawn actions succeed: 0.87, again 0.93, on seed 21; so 1.00.
    "Charger": {"steps": 5000, "averaging": 0.02},
    "CapTighten": {"steps": 6000, "averaging": 0.02},  # 46 steps; insertions: 26
    "PickPlace": {"steps": 6000, "averaging": 0.02, "cloning": 1.0, "demos": 60},  # 69 steps
}
_ENV_ID, _ROBOT = "User/PegInsert-sim-v0", "franka-fr3"
_NO_OTHER_RUN = ("run_dir", "address", "twin", "metrics_port", "tensorboard", "wandb")


@dataclass(frozen=True, slots=True)
class Setting:
    """What every run has: a task, a robot, demonstrations, networks, and what is kept of it."""

    method: ClassVar[str]  # which baseline learns: its module's name
    shares: ClassVar[bool] = False  # whether one policy of it can have several bodies
    relative: ClassVar[bool] = False  # whether it is told where objects are to the hand as well: baselines.relative

    env_id: str = _ENV_ID
    """which environment; demonstrations need one whose task has a scripted expert"""
    robot: str = _ROBOT
    """franka-fr3, franka-fer, arx-x5 or arx-l5"""
    obs: str = "state"
    """state or pixels: small pictures, and of the state what the arm itself feels, not where objects are"""
    side: int = 64
    """pixels, height and width of the pictures of obs=pixels; it divides 128; ours"""
    control: str = "tcp"
    """tcp or joint; demonstrations need tcp, which the scripted expert orders"""
    hole_offset: float | None = None
    """m, how far the hole is from where it is said to be, for tasks that have one; None: the task's own default"""
    seed: int = 0
    """of environment, networks, exploration, sampling and demonstrations; evaluation has its own, the same for all runs"""
    demos: int = 20
    """successful demonstrations by the scripted expert; RLinf's"""
    demo_noise: float = 0.1
    """standard deviation of noise on the expert's actions, in units of the action; ours"""
    batch_size: int = 128
    """transitions per update; ours"""
    # RLPD and RLinf: 3e-4, constant, and 256 wide.
    learning_rate: float = 1e-3
    """falls to a twentieth of it over the last third of the updates; ours"""
    hidden: int = 128
    """width of the two hidden layers; ours"""
    eval_episodes: int = 100
    """deterministic episodes of the last policy, at the end"""
    film: bool = True
    """make a GIF of the last policy"""
    address: str | None = None
    """of a real robot, as in the inventory; None: the first free one that can do the task. Simulated ids take none"""
    twin: str | None = None
    """side door of a protocol twin at that address, as `user-gym twin` prints it"""
    run_dir: Path | None = None
    """folder of the run; None: runs/ENV-ROBOT-OBS-seedN, for other baselines than RLPD with their name before it"""

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two runs different: not where the robot and the folder are, nor who watches. A path is meant resolved."""
        named = {name: value for name, value in asdict(self).items() if name not in _NO_OTHER_RUN}
        named = {name: str(value.resolve()) if isinstance(value, Path) else value for name, value in named.items()}
        return {"method": self.method, **named}

    @property
    def task(self) -> str:
        """Name of the task, by the id of its environment."""
        return _task(self.env_id)

    @property
    def each(self) -> Sequence[Setting]:
        """One setting for each body, a robot at a task, as if it were alone; of this one the only one, mostly."""
        ids, robots = self.env_id.split(","), self.robot.split(",")
        if len(ids) == len(robots) == 1:
            return (self,)
        return tuple(replace(self, env_id=env_id, robot=robot) for env_id in ids for robot in robots)

    @property
    def one_robot(self) -> bool:
        """A real robot: there is no second one beside it for looks at the policy while it trains."""
        return "-real-" in self.env_id

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        ids = "+".join(env_id.split("/")[-1] for env_id in self.env_id.split(","))
        name = f"{ids}-{self.robot.replace(',', '+')}-{self.obs}-seed{self.seed}{self.suffix}"
        return self.run_dir or Path("runs") / (name if self.method == "rlpd" else f"{self.method}-{name}")

    @property
    def suffix(self) -> str:
        """Of the folder's name: what of the configuration is told there beside task, robot and seed."""
        return ""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name, low)  # a run has some of them
            if not low <= value <= high:  # NaN fails as well
                raise BadOption(name, value, f"{low:g} or more" if high == math.inf else f"{low:g} .. {high:g}")
        if self.demos and self.control != "tcp":
            raise BadOption("control", self.control, "tcp", "the scripted expert orders the TCP; or use --demos 0")
        for name in ("robot", "env_id"):
            names = getattr(self, name).split(",")
            if len(names) > 1 and not self.shares:
                raise BadOption(name, getattr(self, name), "one", "one policy for several is RLPD's: python -m baselines.rlpd")
            if len({*names}) < len(names):
                raise BadOption(name, getattr(self, name), "different ones, with commas between them")
        if len(self.each) > 1 and (self.address or self.twin):
            cure = "put the robots into the inventory and name them by --robot"
            raise BadOption("address", self.address or self.twin, "None with several robots", cure)


@dataclass(frozen=True, slots=True)
class OnlineSetting(Setting):
    """What every run has that learns while a robot moves."""

    steps: int = 3500
    """environment steps of training"""
    asynchronous: bool = False
    """let the robot move on while the agent learns; else they take turns and equal seeds give equal bits"""
    updates_before: int = 0
    """updates before the first step, from what was there before it alone"""
    updates_per_step: float = 4.0
    """updates for each environment step; ours"""
    learning_starts: int = 100
    """environment steps before the first update that is made for steps: these first ones ask for no updates; ours"""
    reward: str = RULE
    """who rewards each step and says what is success: rule, classifier:FILE, human:PORT or human:keyboard; several with , (the
    first who has a verdict) or + (the sum). Evaluation is always the rule's"""
    eval_every: int = 500
    """environment steps between two looks at the deterministic policy, 20 episodes each; they only draw the curve. A look takes
    up to 2000 steps of PegInsert, 3000 of PickPlace and 8000 of TableCleanup: look less often at long tasks"""
    metrics_port: int | None = None
    """serve what the run does to Prometheus, at http://127.0.0.1:PORT/metrics; 0: a free port; None: not"""
    tensorboard: bool = False
    """keep in tensorboard/ what the run does every 10 s, beside the looks at the policy, which are always there"""
    wandb: bool = False
    """keep the same for Weights & Biases, offline; `wandb sync` sends it"""

    @property
    def identity(self) -> dict[str, Any]:
        """As Setting.identity."""
        return Setting.identity.__get__(self) | {"reward": meant(self.reward)}

    @property
    def suffix(self) -> str:
        """As Setting.suffix."""
        return "-async" * self.asynchronous

    def __post_init__(self) -> None:
        Setting.__post_init__(self)  # super() does not find its class where a dataclass has slots
        parse(self.reward)


@dataclass(frozen=True, slots=True)
class Config(OnlineSetting):
    """What an RLPD run is."""

    method: ClassVar[str] = "rlpd"
    shares: ClassVar[bool] = True

    env_id: str = _ENV_ID
    """which environment; one whose task has no scripted expert needs --demos 0. Several, with commas: each robot at each"""
    robot: str = _ROBOT
    """franka-fr3, franka-fer, arx-x5 or arx-l5. Several, as franka-fr3,arx-x5, train one policy, each at each task"""
    steps: int = 0
    """environment steps of training, of all bodies together; 0: as many as the task takes with each body, with margin over
    what the tuning seeds needed (ours)"""
    demos: int = -1
    """successful demonstrations by the scripted expert, with each body; -1: what suits the task, which is 20 (RLinf's), for
    PickPlace and from pictures 60 (ours); 0: none, which makes RLPD plain SAC"""
    batch_size: int = 0
    """transitions per update, half of them from before the run (symmetric sampling); 0: 128, from pictures 64
    (ours, RLinf: 256)"""
    updates_per_step: float = 0.0
    """updates for each environment step; 0: 4, from pictures 2 (ours, RLPD: 20)"""
    experience: Path | None = None
    """buffer of an earlier run, such as runs/NAME/buffer: demonstrations and it share the half of each batch that is not the
    run's own"""
    where: str | None = None
    """which part of that experience, such as "success AND policy_version > 100"; None: all. Of successes alone critics do not
    learn what fails"""
    discount: float = 0.96
    """RLinf's, for episodes of at most 100 steps"""
    averaging: float = 0.0
    """share of the critics that the target critics take over per update; 0: what suits the task, which is 0.005 (RLPD's and
    RLinf's), for Charger, CapTighten, PickPlace, from pictures and for several bodies 0.02 (ours)"""
    cloning: float = -1.0
    """weight of the actor's squared distance from what demonstrations ordered, beside the value of what it does, which is 1 at
    most where only success is rewarded (TD3+BC, Fujimoto and Gu 2021); -1: what suits the task, which is 0, for PickPlace
    1, from pictures 0.3 (ours)"""
    critics: int = 2
    """the lowest of two, drawn anew each time where there are more; ours, RLPD and RLinf: 10"""
    actor_every: int = 0
    """critic updates per actor update; 0: 4 (RLinf's), from pictures 2 (ours)"""
    temperature: float = 0.01
    """initial weight of the entropy; RLinf's"""
    target_entropy: float = -9.0
    """nats, what the temperature is adapted to; ours, RLinf: -3"""

    def __post_init__(self) -> None:
        ids, robots = self.env_id.split(","), self.robot.split(",")
        all_tasks = _USUAL | (_FROM_PICTURES if self.obs == "pixels" else {})
        if len(ids) * len(robots) > 1:
            all_tasks = all_tasks | _SEVERAL_BODIES
        usual = [all_tasks | _OF_TASKS.get(_task(env_id), {}) for env_id in ids for _ in robots]
        for name in _USUAL:
            if getattr(self, name) == _NOTHING_ASKED[name]:
                over = sum if name == "steps" else max
                object.__setattr__(self, name, over(values[name] for values in usual))
        OnlineSetting.__post_init__(self)  # super() does not find its class where a dataclass has slots
        if self.where is not None and self.experience is None:
            raise BadOption(
                "where", self.where, "None, where there is no earlier experience", "name its buffer by --experience"
            )
        if self.updates_before and not self.demos and self.experience is None:
            allowed = "0, where there is nothing to learn from before the first step"
            raise BadOption("updates_before", self.updates_before, allowed, "use --demos or --experience")


def _task(env_id: str) -> str:
    return env_id.rpartition("/")[2].partition("-")[0]
