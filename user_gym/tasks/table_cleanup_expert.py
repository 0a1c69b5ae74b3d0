"""A scripted hand for clearing a table. It sees where things are, as a person does, and does again what went wrong.

One object after the other is gripped across its width and set down in a place of its own in the box, between fingers that open
by half; then the hand goes around the lid and turns it down from behind. An object that is not yet in the box, or not in it
any more, is next, wherever it is. How low the hand goes follows from how far off it is, without a step, and its yaw from the
object's alone: who copies it errs by millimetres, and would stand still where going down and not going down meet.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from user_gym.core import F64, RobotState
from user_gym.errors import BadOption
from user_gym.robots import pose
from user_gym.tasks.scripted import ScriptedHand
from user_gym.tasks.table_cleanup import (
    CLOSED,
    FLOOR,
    HALF,
    HIGHEST,
    ITEMS,
    LID,
    LOWEST,
    RIM,
    ROOM,
    WALL,
    TableCleanup,
    extents,
    is_inside,
    opening,
)

HOVER = 0.070  # m above the table: fingertips pass over the rim and over what stands
OVER_RIM = 0.010  # m
SET_DOWN = 0.003  # m that an object falls, at most, when the fingers let go
PLACES = (-0.024, 0.006, 0.036)  # m along x from the middle of the box
TAKEN = 0.020  # m from a place: what lies there is in the way
WIDE = 0.044  # m between fingers that go down around an object: outside they keep off its neighbours and the box's walls
OVER = 0.004, 0.06  # m, rad: well enough over the object to go all the way down,
ASTRAY = 0.012, 0.20  # m, rad: and too far off to go down at all; between them, the nearer the lower
NEAR = 0.003  # m
DEEP = 0.005  # m above the middle of an object, from where fingers close
CLEARED = 0.036  # m: what is as high may begin to go sideways over what stands; at RIM + OVER_RIM as fast as it can
HELD = (2 * HALF - 0.006, 2 * HALF + 0.010)  # m between fingers that have something
TOUCHED = 2 * HALF + 0.001  # m between fingers that have met both sides of it
LOST = 0.025  # m from the TCP to the middle of what is held: it is not between the fingers
STALLED = 0.0005  # m that fingers close in a period when they have met something
PATIENCE = 15  # periods that fingers may take
LIFTED = 0.005  # m above the table: another has it between the fingers
LET_GO = 0.036  # m between fingers that touch nothing any more
SLOW = 0.010  # m downwards a period beside an object; a fast descent tilts the tool of a softly damped arm,
UPRIGHT = 0.04  # rad, and what it grips then swings back with the tool
AROUND = ((-0.025, -0.072), (-0.092, -0.072), (-0.092, -0.038))  # m from the middle of the box: past the lid, and behind it
BESIDE, OFF_LID = -0.075, -0.032  # m along y, x from the middle of the box: where a lid that stands is near, and no nearer
MARGIN = 0.010  # m before that
GENTLE = 0.05  # rad of yaw a period: an arm without Cartesian damping that turns fast is carried off sideways
REACHED = 0.012  # m
LEVER = 0.092  # m from the hinge, where the lid is pushed; nearer to it, the lid would meet the palm
AHEAD = 0.3  # rad that the push aims past the lid
STANDING = 0.7  # cosine of how far a can that stands may lean
TIP = 0.010  # m, half of a fingertip's length and height


class Stage(Enum):
    """What the hand is about."""

    APPROACH = "over an object, then down to it"
    GRASP = "close"
    CARRY = "up, over the box, down"
    RELEASE = "open a little, then up"
    AROUND = "to the lid's other side"
    SHUT = "turn the lid down, then leave"


class TableCleanupExpert(ScriptedHand):
    """The hand for a table. It has to `watch` before its first move.

    Args:
        task: the task; its objects and its action scale are used.
        noise: as ScriptedHand.
        seed: of the noise.

    Raises:
        BadOption: as ScriptedHand; from a move where nobody sees an object, the box or the lid.
    """

    def __init__(self, task: TableCleanup, noise: float = 0.0, seed: int = 0) -> None:
        self._objects, self._stroke = task.objects, task.width
        super().__init__(np.append(task.action_scale, 1.0), noise, seed)

    def reset(self) -> None:
        """Begin with the first object."""
        self._begin(Stage.APPROACH)
        self._passed = 0

    def take_over(self, state: RobotState) -> None:
        """Carry on where the other was, as if all before had been one's own doing."""
        self.reset()
        self._look()
        tcp, width, left = state.tcp, float(state.gripper) * self._stroke, self._left()
        x, y = tcp[:2] - self._seen["box"][:2]
        if not left:
            self._begin(Stage.AROUND)
            if x <= AROUND[2][0] + REACHED and y > AROUND[1][1] + REACHED:
                self._begin(Stage.SHUT)
            elif y <= AROUND[0][1] + REACHED:
                self._leg = 1 + (x <= AROUND[1][0] + REACHED)
        self._name = min(self._objects, key=lambda name: float(np.linalg.norm(self._seen[name][:3] - tcp[:3])))
        item = self._seen[self._name]
        if np.linalg.norm(item[:3] - tcp[:3]) > LOST:
            return
        over, under = np.hypot(*(item[:2] - tcp[:2])) <= 2 * OVER[0], item[2] - extents(self._name, item[3:])[2]
        low = tcp[2] - max(item[2], LOWEST) <= DEEP + NEAR
        if self._name in left and under > LIFTED:
            self._begin(Stage.CARRY)
        elif self._name in left and over and low and width < LET_GO:
            self._begin(Stage.GRASP)
        elif self._name not in left and width <= HELD[1] and under > FLOOR + SET_DOWN + 2 * NEAR:
            self._begin(Stage.CARRY)
        elif self._name not in left and tcp[2] < HOVER - REACHED:
            self._begin(Stage.RELEASE)

    def move(self, state: RobotState) -> F64:
        """What to add to the measured pose (6,) m, rad, then the gripper's order."""
        self._look()
        width = float(state.gripper) * self._stroke
        self._periods += 1
        step = np.append(-state.tcp, 2 * WIDE / self._stroke - 1.0)  # upright, straight, open by half
        step[:3] = 0.0
        {
            Stage.APPROACH: self._approach,
            Stage.GRASP: self._grasp,
            Stage.CARRY: self._carry,
            Stage.RELEASE: self._release,
            Stage.AROUND: self._around,
            Stage.SHUT: self._shut,
        }[self._stage](state.tcp, width, step)
        self._width = width
        step[5] = np.clip(step[5], -GENTLE, GENTLE)
        return step

    def _look(self) -> None:
        scene = self.scene()
        self._seen = {name: scene.pose(name) for name in (*self._objects, "box", "lid")}
        for name, at in self._seen.items():
            if not np.isfinite(at).all():
                raise BadOption("scene", f"without the {name}", "one that tells where it is", "add a camera estimator")

    def _begin(self, stage: Stage) -> None:
        self._stage, self._periods, self._width, self._leg, self._over = stage, 0, np.inf, 0, 0

    def _left(self) -> list[str]:
        """Objects that are not in the box."""
        return [name for name in self._objects if not is_inside(name, self._seen[name], self._seen["box"])]

    def _approach(self, tcp: F64, width: float, step: F64) -> None:
        left = self._left()
        if not left:
            self._begin(Stage.AROUND)
            self._around(tcp, width, step)
            return
        self._name = left[self._passed % len(left)]
        item = self._seen[self._name]
        step[:2] = item[:2] - tcp[:2]
        step[5] = _yaw(self._name, item[3:]) - tcp[5]
        self._keep_off_the_lid(tcp, step)
        over = _over(step[:2], step[5]) * (LET_GO <= width <= WIDE + 2 * NEAR)
        height = max(item[2], LOWEST)
        step[2] = max(height + (1.0 - over) * (HOVER - height) - tcp[2], -SLOW if over else -np.inf)
        self._over = self._over + 1 if over == 1.0 else 0
        if over > 0.9 and tcp[2] - height <= DEEP and np.abs(tcp[3:5]).max() <= UPRIGHT:
            self._begin(Stage.GRASP)
            self._grasp(tcp, width, step)
        elif self._over > PATIENCE:  # the fingers stand on another
            self._passed += 1
            self._over = 0

    def _grasp(self, tcp: F64, width: float, step: F64) -> None:
        step[:2] = self._seen[self._name][:2] - tcp[:2]
        step[2], step[5:] = 0.0, (0.0, -1.0)
        if HELD[0] <= width <= TOUCHED or (self._width - width < STALLED and HELD[0] <= width < HELD[1]):
            self._begin(Stage.CARRY)
            self._carry(tcp, width, step)
        elif width < HELD[0] or self._periods > PATIENCE:
            self._begin(Stage.APPROACH)

    def _carry(self, tcp: F64, width: float, step: F64) -> None:
        step[6] = -1.0
        item, box = self._seen[self._name], self._seen["box"]
        if np.linalg.norm(item[:3] - tcp[:3]) > LOST:
            self._begin(Stage.APPROACH)
            return
        below = max(tcp[2] - item[2] + extents(self._name, item[3:])[2], TIP)  # m, what is lower than the TCP
        to_place = box[:2] + [self._place(box), 0.0] - item[:2]
        over = _over(to_place, tcp[5])
        bottom, clear = FLOOR + SET_DOWN + below, RIM + OVER_RIM + below
        aside = (tcp[2] - below - CLEARED) / (RIM + OVER_RIM - CLEARED - NEAR)
        step[:2] = to_place * np.clip(aside, over, 1.0)
        self._keep_off_the_lid(tcp, step)
        step[2] = bottom - NEAR + (1.0 - over) * (clear + 2 * NEAR - bottom) - tcp[2]
        step[2] = max(step[2], -SLOW if over else -np.inf)
        self._over = self._over + 1 if over == 1.0 else 0
        if over > 0.9 and (tcp[2] <= bottom + NEAR or self._over > PATIENCE):  # or it stands on something
            self._begin(Stage.RELEASE)
            self._release(tcp, width, step)

    def _place(self, box: F64) -> float:
        """The object's own place (m along x from the middle of the box), or the nearest to it where nothing else is."""
        own = PLACES[self._objects.index(self._name)]
        others = [self._seen[name][0] - box[0] for name in self._objects if name not in (self._name, *self._left())]
        free = [place for place in PLACES if all(abs(place - other) > TAKEN for other in others)]
        return min(free or PLACES, key=lambda place: abs(place - own))

    def _keep_off_the_lid(self, tcp: F64, step: F64) -> None:
        """Beside a lid that stands the hand comes and goes straight, along y."""
        x, y = tcp[:2] - self._seen["box"][:2]
        if y > BESIDE:
            step[0] = max(step[0], OFF_LID - x)
            step[5] = -tcp[5] if x < 0.0 else step[5]
        else:
            off = max((OFF_LID - NEAR - x) / MARGIN, (abs(tcp[5]) - OVER[1]) / OVER[1])
            step[1] = min(step[1], BESIDE - y + (1.0 - np.clip(off, 0.0, 1.0)) * MARGIN) if off > 0.0 else step[1]
        if BESIDE - MARGIN < y <= BESIDE and abs(tcp[5] + step[5]) > abs(tcp[5]):
            step[5] = 0.0  # an arm that turns drifts, and would be back beside the lid

    def _release(self, tcp: F64, width: float, step: F64) -> None:
        up = width >= LET_GO
        step[:] = 0.0, 0.0, HOVER - tcp[2] if up else 0.0, *-tcp[3:], 2 * WIDE / self._stroke - 1.0
        if (up and tcp[2] >= HOVER - REACHED) or self._periods > 2 * PATIENCE:
            self._begin(Stage.APPROACH)

    def _around(self, tcp: F64, width: float, step: F64) -> None:
        step[6] = -1.0
        step[2] = HIGHEST - tcp[2]
        to_next = self._seen["box"][:2] + AROUND[self._leg] - tcp[:2]
        step[:2] = to_next if tcp[2] >= HOVER - REACHED else 0.0
        if np.hypot(*to_next) <= REACHED:
            self._leg += 1
        if self._leg == len(AROUND):
            self._begin(Stage.SHUT)

    def _shut(self, tcp: F64, width: float, step: F64) -> None:
        step[6] = -1.0
        box, angle = self._seen["box"], float(opening(self._seen["lid"], self._seen["box"]))
        if angle <= CLOSED / 2:
            step[2] = HIGHEST - tcp[2]
            return
        aim = angle - AHEAD
        along, out = np.array([np.cos(aim), np.sin(aim)]), np.array([-np.sin(aim), np.cos(aim)])  # of the lid, in x and z
        hinge = box[[0, 2]] + [-ROOM[0] - WALL, RIM]
        x, z = hinge + LEVER * along + (LID + TIP * np.abs(along).sum()) * out
        step[:3] = x - tcp[0], box[1] + AROUND[-1][1] - tcp[1], z - tcp[2]


def _over(off: F64, turn: float) -> float:
    """How far down a hand may go that is off by (2,) m and so many rad: 1 all the way, 0 not at all."""
    far = max((np.hypot(*off) - OVER[0]) / (ASTRAY[0] - OVER[0]), (abs(turn) - OVER[1]) / (ASTRAY[1] - OVER[1]))
    return float(np.clip(1.0 - far, 0.0, 1.0))


def _yaw(name: str, turn: F64) -> float:
    """The yaw (rad) across an object that is turned by a quaternion (4,): of the four the one nearest to straight."""
    axes = pose.matrix(turn)
    if ITEMS[name][0] == "cylinder" and abs(axes[2, 2]) > STANDING:
        return 0.0  # it is as wide in every direction
    level = axes[:, np.argmin(np.abs(axes[2]))]
    yaw, quarter = np.arctan2(level[1], level[0]), np.pi / 2
    return float(yaw - quarter * np.round(yaw / quarter))
