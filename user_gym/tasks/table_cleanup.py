"""Clear a table: put everything that stands on it into an open box, then close the box's lid. A long task, in stages.

Success is strict: all of every object is between the box's walls and below its rim, all have come to rest, the lid is closed,
and the hand is away from it. An object that leans over the rim keeps the lid open; one that is held in the box while
the lid is open counts as being there, and has to stay when the hand leaves.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from user_gym.core import (
    F64,
    I64,
    Body,
    Bool,
    Joint,
    Judgement,
    RobotSpec,
    RobotState,
    Scene,
    Shape,
    Start,
    Workspace,
    real,
    whole,
)
from user_gym.errors import BadOption
from user_gym.robots import pose

HALF = 0.012  # m, half of each object's width; 24 mm fit between fingers that are open by half
ITEMS = {  # half extents; radius and half height
    "block": ("box", (HALF, HALF, HALF), (0.80, 0.22, 0.18, 1.0)),
    "can": ("cylinder", (HALF, 0.014), (0.20, 0.58, 0.30, 1.0)),
    "tower": ("box", (HALF, HALF, 0.015), (0.52, 0.32, 0.66, 1.0)),
}
MASS, FRICTION = 0.04, 0.5  # kg; sliding coefficient
ROLLING = 0.001  # m: a can that has toppled rolls a little, not for ever
SPOTS = ((-0.042, -0.030), (0.0, -0.095), (0.042, -0.030))  # m from the work point: where an object may stand
BOX = 0.075  # m along y from the work point: the middle of the box
ROOM = (0.052, 0.045)  # m, half of the box's inner length (along x) and width
WALL, FLOOR, RIM = 0.004, 0.004, 0.044  # m: thickness, top of the floor and of the walls above the table
LID, LIP = 0.004, 0.004  # m: its thickness, and how far it goes beyond the wall
LID_MASS, LID_DAMPING = 0.05, 0.01  # kg, N m s/rad
STANDS, FALLS_BACK = (1.55, 1.70), 1.75  # rad: how far the lid is open at first, and its stop
CLOSED = 0.05  # rad
ABOVE = 0.070  # m, of the goal: over the box, what is held clears the rim
LOWEST, HIGHEST = 0.015, 0.150  # m, of the TCP: fingertips are 10 mm below it; as high as all arms reach everywhere
REST = 0.001  # m: an object at rest moves by no more in a period
TURNED = 0.05  # rad: nor turns by more
RESTING = 3  # periods
SUNK = 0.001  # m: contacts yield, by less
AWAY = 0.040  # m from the rim up to the TCP
MAX_OBJECTS = len(ITEMS)
MAX_SPREAD, MAX_TURN = 0.015, 0.78  # m, rad: open fingers still fit between the objects; an eighth of a turn is any
MIN_LID_FRICTION, MAX_LID_FRICTION = 0.05, 0.3  # N m: the lid's weight turns it with 0.04; a hand pushes with 0.5


class TableCleanup:
    """Clearing a table, for one robot.

    Args:
        spec: the robot; its `work_point` is between the objects and the box.
        objects: how many there are: a block; and a can; and a tower.
        spread: m, each stands up to this far from a spot of its own, along x and y.
        turn: rad, and is turned by up to this.
        lid_friction: N m of dry friction in the lid's hinge. It keeps the lid where it is put.

    Raises:
        BadOption: an option is out of its range.
    """

    name = "TableCleanup"
    description = "put everything into the grey box and close its lid"
    rate = 10.0
    max_steps = 400
    moves_gripper = True

    def __init__(
        self, spec: RobotSpec, objects: int = 3, spread: float = 0.01, turn: float = 0.6, lid_friction: float = 0.06
    ) -> None:
        count = whole("objects", objects, 1, f"1 .. {MAX_OBJECTS}")
        if count > MAX_OBJECTS:
            raise BadOption("objects", objects, f"1 .. {MAX_OBJECTS}")
        self.spread = real("spread", spread, 0.0, MAX_SPREAD, f"0 .. {MAX_SPREAD} (metres)")
        self.turn = real("turn", turn, 0.0, MAX_TURN, f"0 .. {MAX_TURN} (rad)")
        allowed = f"{MIN_LID_FRICTION} .. {MAX_LID_FRICTION} (newton metres)"
        self.lid_friction = real("lid_friction", lid_friction, MIN_LID_FRICTION, MAX_LID_FRICTION, allowed)
        self.objects = tuple(ITEMS)[:count]
        self.scene_keys = (*self.objects, "lid")
        x, y, _ = spec.work_point
        self.goal = np.array([x, y + BOX, ABOVE, 0.0, 0.0, 0.0])  # over the middle of the box
        self.workspace = Workspace(
            low=np.array([x - 0.10, y - 0.13, LOWEST, -0.01, -0.01, -1.1]),  # behind the lid, too
            high=np.array([x + 0.06, y + 0.13, HIGHEST, 0.01, 0.01, 1.1]),
        )
        self.action_scale = np.array([0.02, 0.02, 0.02, 0.1, 0.1, 0.1])
        self.bodies = (*(_item(name) for name in self.objects), _box(), _lid(self.lid_friction))
        self._middle = np.array([x, y, 0.0])
        self.width = spec.gripper.width  # m between open fingers

    def start(self, rng: np.random.Generator) -> Start:
        """15 cm above the table, over the objects, the gripper open. They stand each on a spot of its own; the lid is open."""
        x, y, yaw = rng.uniform([-0.05, -0.10, -np.pi / 6], [0.05, -0.03, np.pi / 6])
        spots, lid = rng.permutation(len(SPOTS)), rng.uniform(*STANDS)
        moved = rng.uniform(-1.0, 1.0, (len(SPOTS), 3)) * [self.spread, self.spread, self.turn / 2]
        objects = [_pose(*(self._middle + [0.0, BOX, 0.0]))]
        for name, spot, (aside, along, half) in zip(reversed(self.objects), spots, moved, strict=False):
            at = self._middle + [SPOTS[spot][0] + aside, SPOTS[spot][1] + along, ITEMS[name][1][-1]]
            objects.insert(0, np.array([*at, 0.0, 0.0, np.sin(half), np.cos(half)]))
        placed = np.stack(objects)
        return Start(
            tcp=np.array([*(self._middle + [x, y, HIGHEST]), 0.0, 0.0, yaw]),
            gripper=1.0,
            objects=placed,
            progress=np.concatenate([np.zeros(4), placed[:-1].ravel()]),
            joints=np.array([lid]),
        )

    def judge(self, state: RobotState, scene: Scene, progress: F64) -> Judgement:
        """An equal share of 1 for each object that gets into the box, for the lid on all of them, and for success.

        What gets out again takes its share with it, so that the rewards of an episode add up to how far it came. Progress:
        objects in the box, the stage, the share so far, periods at rest, and where the objects were.
        """
        box, lid = scene.pose("box"), scene.pose("lid")
        poses = np.stack([scene.pose(name) for name in self.objects], axis=-2)
        inside = np.stack([is_inside(name, poses[..., k, :], box) for k, name in enumerate(self.objects)], axis=-1)
        done = inside.sum(-1)
        shut = inside.all(-1) & (abs(opening(lid, box)) <= CLOSED)
        still = _still(poses, progress[..., 4:].reshape(poses.shape)).all(-1)
        resting = np.where(still, progress[..., 3] + 1.0, 0.0)
        away = state.tcp[..., 2] - box[..., 2] >= RIM + AWAY
        success = np.asarray(shut & (resting >= RESTING) & away)[()]
        share = (done + shut + success) / (len(self.objects) + 2.0)
        told = np.stack([done, inside.all(-1) * 1.0 + shut, share, resting], axis=-1)
        after = np.concatenate([told, poses.reshape((*poses.shape[:-2], -1))], axis=-1, dtype=np.float64)
        return Judgement(reward=share - progress[..., 2], success=success, failure=success & False, progress=after)

    def stages(self, progress: F64) -> Mapping[str, I64]:
        """`stage`: 0 while objects are outside, 1 while the lid has to be closed, 2 once it is; `done_objects` in the box."""
        return {"stage": progress[..., 1].astype(np.int64), "done_objects": progress[..., 0].astype(np.int64)}


def extents(name: str, turn: F64) -> F64:
    """How far an object reaches from its middle along x, y and z (..., 3), turned by a quaternion (..., 4); m."""
    kind, size, _ = ITEMS[name]
    axes = abs(pose.matrix(turn))
    if kind == "box":
        return (axes * np.array(size)).sum(-1)
    along = axes[..., 2]
    return size[0] * np.sqrt(np.maximum(1.0 - along * along, 0.0)) + size[1] * along


def is_inside(name: str, item: F64, box: F64) -> Bool:
    """Whether all of an object at (..., 7) is between the walls and below the rim of the box at (..., 7)."""
    back = pose.conjugate(box[..., 3:])
    middle, reach = pose.rotate(back, item[..., :3] - box[..., :3]), extents(name, pose.multiply(back, item[..., 3:]))
    aside = (abs(middle[..., :2]) + reach[..., :2] <= np.array(ROOM) + SUNK).all(-1)
    low, high = middle[..., 2] - reach[..., 2], middle[..., 2] + reach[..., 2]
    return aside & (low >= FLOOR - SUNK) & (high <= RIM)


def opening(lid: F64, box: F64) -> F64:
    """How far the lid is open, (...,) rad."""
    return -pose.log(pose.multiply(pose.conjugate(box[..., 3:]), lid[..., 3:]))[..., 1]


def _still(now: F64, before: F64) -> Bool:
    """Which of the objects (..., k, 7) have hardly moved or turned since."""
    way = now[..., :3] - before[..., :3]
    turn = pose.log(pose.multiply(now[..., 3:], pose.conjugate(before[..., 3:])))
    return (pose.dot(way, way) <= REST * REST) & (pose.dot(turn, turn) <= TURNED * TURNED)


def _pose(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> F64:
    return np.array([x, y, z, 0.0, 0.0, 0.0, 1.0])


def _item(name: str) -> Body:
    """Its frame is in its middle."""
    kind, size, colour = ITEMS[name]
    return Body(name, "free", (Shape(kind, size, _pose(), colour),), mass=MASS, friction=FRICTION, rolling=ROLLING)


def _box() -> Body:
    """Its frame is in the middle of its underside."""
    grey, dark = (0.55, 0.57, 0.60, 1.0), (0.34, 0.36, 0.40, 1.0)
    length, width, half = ROOM[0] + WALL, ROOM[1] + WALL, (RIM - FLOOR) / 2
    shapes = [Shape("box", (length, width, FLOOR / 2), _pose(z=FLOOR / 2), dark)]
    for side in (-1, 1):
        shapes.append(Shape("box", (WALL / 2, width, half), _pose(side * (ROOM[0] + WALL / 2), 0.0, FLOOR + half), grey))
        shapes.append(Shape("box", (ROOM[0], WALL / 2, half), _pose(0.0, side * (ROOM[1] + WALL / 2), FLOOR + half), grey))
    return Body("box", "table", tuple(shapes), friction=FRICTION)


def _lid(friction: float) -> Body:
    """Its frame is in its hinge, on the rim of the wall nearest to the robot; x along the closed lid, 0 is closed."""
    blue, edge = (0.22, 0.42, 0.70, 1.0), (0.93, 0.93, 0.93, 1.0)
    hinge, half = ROOM[0] + WALL, ROOM[0] + WALL + LIP / 2
    shapes = (
        Shape("box", (half, ROOM[1] + WALL, LID / 2), _pose(half, 0.0, LID / 2), blue),
        Shape("box", (0.004, ROOM[1], 0.0004), _pose(2 * half - 0.008, 0.0, LID), edge, collides=False),
    )
    joint = Joint("hinge", np.array([0.0, -1.0, 0.0]), 0.0, FALLS_BACK, friction=friction, damping=LID_DAMPING)
    return Body("lid", "box", shapes, mass=LID_MASS, friction=FRICTION, pose=_pose(-hinge, 0.0, RIM), joint=joint)
