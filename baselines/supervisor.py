"""The human of HG-DAgger, scripted: watches a policy, takes over when it gets nowhere, lets go when it is going again.

It sees what a person beside the arm sees, how the robot moves; it knows neither the policy nor what that would have done next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from user_gym.core import RobotState, Task, TeleopOrder, whole
from user_gym.errors import BadOption
from user_gym.tasks.scripted import ScriptedHand

Left = Callable[[RobotState], float]

NEARER = 0.05  # action steps, 1 mm: less than that is no progress
GOING = 0.25  # action steps nearer than the policy ever came, 5 mm: help enough,
HELD = 5  # and periods that the human acts at least


def _to_goal(task: Task) -> Left:
    return lambda state: float(np.linalg.norm((state.tcp - task.goal) / task.action_scale))


# How far it still is, by task: action steps, of which a good policy leaves fewer and fewer.
LEFT: Mapping[str, Callable[[Task], Left]] = {"PegInsert": _to_goal, "Charger": _to_goal}


class Supervisor:
    """A Teleop for one policy at work.

    Args:
        task: what is done; it has to be one of LEFT.
        hand: how the human would do it. It begins anew whenever the human takes over.
        patience: periods without getting nearer after which the human takes over.

    Raises:
        BadOption: another task, or `patience` is below 1.
    """

    def __init__(self, task: Task, hand: ScriptedHand, patience: int) -> None:
        if task.name not in LEFT:
            raise BadOption("task", task.name, f"one whose progress can be seen: {', '.join(sorted(LEFT))}")
        self._left = LEFT[task.name](task)
        self._hand, self._patience = hand, whole("patience", patience, 1)
        self._idle = np.zeros(len(task.action_scale) + task.moves_gripper, np.float32)
        self.reset()

    def connect(self) -> None:
        """As `core.Teleop.connect`."""
        self._hand.connect()

    def reset(self) -> None:
        """As `core.Teleop.reset`."""
        self._acting = False
        self._nearest = np.inf  # that the policy came by itself
        self._waited = 0  # periods without progress, or since the human took over

    def read(self, state: RobotState) -> TeleopOrder:
        """As `core.Teleop.read`; called once a period."""
        left = self._left(state)
        if self._acting:
            self._waited += 1
            if left <= self._nearest - GOING and self._waited >= HELD:
                self._acting, self._nearest, self._waited = False, left, 0
        elif left <= self._nearest - NEARER:
            self._nearest, self._waited = left, 0
        else:
            self._waited += 1
            if self._waited >= self._patience:
                self._acting, self._waited = True, 0
                self._hand.reset()
        return TeleopOrder(self._hand.action(state) if self._acting else self._idle, self._acting)

    def close(self) -> None:
        """As `core.Teleop.close`."""
        self._hand.close()
