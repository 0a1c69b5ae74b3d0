"""What every scripted hand is: a Teleop that has always taken over. A task's own hand says how to move."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from user_gym.core import F32, F64, RobotState, Scene, TeleopOrder
from user_gym.errors import BadOption, NotReset


class ScriptedHand:
    """A demonstrator, and the human of tests. It knows what a person at a real arm knows: the robot's state and the task.

    Args:
        unit: (a,) m, rad of an action of 1; of a gripper's order 1.
        noise: standard deviation of Gaussian noise on each axis of the TCP, in units of the action, for varied demonstrations.
        seed: of the noise.

    Raises:
        BadOption: `noise` is negative or not finite.
    """

    def __init__(self, unit: F64, noise: float = 0.0, seed: int = 0) -> None:
        if not 0.0 <= noise < np.inf:
            raise BadOption("noise", noise, "0 or more, in units of the action")
        self._unit, self._noise = unit, noise
        self._rng = np.random.default_rng(seed)
        self._scene: Callable[[], Scene] | None = None
        self.reset()

    def watch(self, scene: Callable[[], Scene]) -> None:
        """Whom to ask where objects are now. Most hands do without: theirs are where they were said to be."""
        self._scene = scene

    def scene(self) -> Scene:
        """Where objects are now. Raises NotReset before `watch`."""
        if self._scene is None:
            raise NotReset(f"{type(self).__name__} has nothing to look at; call watch(lambda: env.unwrapped.scene) first")
        return self._scene()

    def connect(self) -> None:
        """Nothing to open."""

    def reset(self) -> None:
        """Forget the last episode."""
        raise NotImplementedError

    def take_over(self, state: RobotState) -> None:
        """Go on from where another left off. Most hands begin anew: that does for them."""
        self.reset()

    def move(self, state: RobotState) -> F64:
        """What to add to the measured pose (6,) m, rad; where the task moves the gripper, then its order -1 .. 1."""
        raise NotImplementedError

    def read(self, state: RobotState) -> TeleopOrder:
        """The next action."""
        return TeleopOrder(self.action(state), active=True)

    def close(self) -> None:
        """Nothing to let go of."""

    def action(self, state: RobotState) -> F32:
        """Action (a,) in [-1, 1] for one state."""
        steps = self.move(state) / self._unit
        if self._noise:
            steps[:6] += self._rng.normal(0.0, self._noise, 6)
        return np.clip(steps, -1.0, 1.0).astype(np.float32)
