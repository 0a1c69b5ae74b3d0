"""What an RLPD run is, as the command line takes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from user_gym.errors import BadOption


@dataclass(frozen=True, slots=True)
class Config:
    """What a run is. A run folder belongs to one configuration."""

    env_id: str = "User/PegInsert-sim-v0"
    robot: str = "franka-fr3"
    """franka-fr3, franka-fer, arx-x5 or arx-l5"""
    obs: str = "state"
    """state or pixels"""
    control: str = "tcp"
    """tcp or joint; the scripted expert orders the TCP, so joint needs --demos 0"""
    hole_offset: float = 0.001
    """m, how far the hole is from where it is said to be"""
    seed: int = 0
    steps: int = 3000
    """environment steps of training"""
    asynchronous: bool = False
    """let the robot move on while the agent learns; else they take turns and equal seeds give equal bits"""
    demos: int = 20
    """successful demonstrations by the scripted expert; 0: plain SAC"""
    demo_noise: float = 0.1
    """noise on the expert's actions, in units of the action"""
    updates_per_step: float = 4.0
    learning_starts: int = 100
    """environment steps before the first update"""
    batch_size: int = 128
    learning_rate: float = 1e-3
    """falls to a twentieth of it over the last third"""
    discount: float = 0.96
    averaging: float = 0.005
    """of the target critics, per update"""
    critics: int = 2
    hidden: int = 128
    actor_every: int = 4
    """critic updates per actor update"""
    temperature: float = 0.01
    """initial weight of the entropy"""
    target_entropy: float = -9.0
    eval_every: int = 500
    """environment steps between two looks at the deterministic policy, 20 episodes each; they only draw the curve"""
    eval_episodes: int = 100
    """deterministic episodes of the last policy, at the end"""
    film: bool = True
    """make a GIF of the last policy"""
    run_dir: Path | None = None
    """folder of the run; default: runs/ENV-ROBOT-OBS-seedN"""

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        name = f"{self.env_id.split('/')[-1]}-{self.robot}-{self.obs}-seed{self.seed}"
        return self.run_dir or Path("runs") / (name + "-async" * self.asynchronous)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "critics", "hidden", "actor_every", "eval_every", "eval_episodes"):
            if getattr(self, name) < 1:
                raise BadOption(name, getattr(self, name), "1 or more")
        for name in ("demos", "learning_starts", "seed"):
            if getattr(self, name) < 0:
                raise BadOption(name, getattr(self, name), "0 or more")
        if self.demos and self.control != "tcp":
            raise BadOption("control", self.control, "tcp", "the scripted expert orders the TCP; or use --demos 0")
