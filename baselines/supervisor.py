"""The human of HG-DAgger, scripted: watches a policy, takes over when it gets nowhere, lets go when it is going again.

It sees what a person beside the arm sees, how the robot moves and where things are; it knows neither the policy nor what that
would have done next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from user_gym.core import RobotState, Task, TeleopOrder, whole
from user_gym.errors import BadOption
from user_gym.tasks.scripted import ScriptedHand
from user_gym.tasks.table_cleanup import AWAY, CLOSED, RIM, TableCleanup, extents, is_inside, opening
from user_gym.tasks.table_cleanup_expert import AROUND, LIFTED

Left = Callable[[RobotState], float]

NEARER = 0.05  # action steps, 1 mm: less than that is no progress
GOING = 0.25  # action steps nearer than the policy ever came, 5 mm: help enough,
HELD = 5  # and periods that the human acts at least, where nothing else is said
STAGE = 50.0  # action steps that a stage of a long task counts: more than the way through it
STANDS = 1.2  # rad: a lid that is open so far has not been pushed yet
PER_RAD = 20.0  # action steps that a radian of the lid counts


def _to_goal(task: Task, hand: ScriptedHand) -> Left:
    return lambda state: float(np.linalg.norm((state.tcp - task.goal) / task.action_scale))


def _to_clear(task: TableCleanup, hand: ScriptedHand) -> Left:
    """Objects outside, then the way to the nearest one, or of the one that is held to the box; at last the lid."""
    unit = task.action_scale[0]

    def left(state: RobotState) -> float:
        scene, tcp = hand.scene(), state.tcp[:3]
        box = scene.pose("box")
        poses = {name: scene.pose(name) for name in task.objects}
        outside = [name for name, at in poses.items() if not is_inside(name, at, box)]
        if outside:
            lifted = [name for name in outside if poses[name][2] - extents(name, poses[name][3:])[2] > LIFTED]
            ends, begins = (box[:2], [poses[name][:2] for name in lifted]) if lifted else (tcp, [poses[n][:3] for n in outside])
            way = min(np.linalg.norm(ends - begin) for begin in begins)
            return STAGE * (2 * len(outside) + (not lifted)) + float(way) / unit
        angle = float(opening(scene.pose("lid"), box))
        if angle <= CLOSED:
            return float(max(box[2] + RIM + AWAY - tcp[2], 0.0)) / unit
        behind = float(np.linalg.norm(box[:2] + AROUND[-1] - tcp[:2])) / unit if angle > STANDS else 0.0
        return STAGE + PER_RAD * angle + behind

    return left


# How far it still is, by task: action steps, of which a good policy leaves fewer and fewer.
LEFT: Mapping[str, Callable[..., Left]] = {"PegInsert": _to_goal, "Charger": _to_goal, "TableCleanup": _to_clear}


class Supervisor:
    """A Teleop for one policy at work.

    Args:
        task: what is done; it has to be one of LEFT.
        hand: how the human would do it, going on from where the policy left off.
        patience: periods without getting nearer after which the human takes over.
        held: periods that the human acts at least; in a long task there is more to show at a time.

    Raises:
        BadOption: another task, or `patience` or `held` is below 1.
    """

    def __init__(self, task: Task, hand: ScriptedHand, patience: int, held: int = HELD) -> None:
        if task.name not in LEFT:
            raise BadOption("task", task.name, f"one whose progress can be seen: {', '.join(sorted(LEFT))}")
        self._left = LEFT[task.name](task, hand)
        self._hand, self._patience = hand, whole("patience", patience, 1)
        self._held = whole("held", held, 1)
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
            if left <= self._nearest - GOING and self._waited >= self._held:
                self._acting, self._nearest, self._waited = False, left, 0
        elif left <= self._nearest - NEARER:
            self._nearest, self._waited = left, 0
        else:
            self._waited += 1
            if self._waited >= self._patience:
                self._acting, self._waited = True, 0
                self._hand.take_over(state)
        return TeleopOrder(self._hand.action(state) if self._acting else self._idle, self._acting)

    def close(self) -> None:
        """As `core.Teleop.close`."""
        self._hand.close()
