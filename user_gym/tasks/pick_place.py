"""Pick a duck up from wherever it sits on the table, and leave it in an open box.

Success is strict: all of the duck is between the box's walls, the middles of its body, head and tail are below the rim, it has
come to rest there, and the gripper is open and away from it. A duck that is held in the box, leans over its rim, or still
rolls is not yet placed.
"""

from __future__ import annotations

import numpy as np

from user_gym.core import F64, Body, Judgement, RobotSpec, RobotState, Scene, Shape, Start, Workspace, real
from user_gym.robots import pose

BODY = (0.026, 0.015, 0.015)  # m, radii of the duck's body; its frame is in the middle of it. 30 mm fit between all fingers
SITS = 0.018  # m, from there down to what it sits on
BASE = (0.016, 0.011, 0.004)  # m, half extents of its flat underside
HEAD, HEAD_AT = 0.010, (0.016, 0.0, 0.019)  # m, radius, place; lower than where a palm begins
TAIL, TAIL_AT = 0.006, (-0.024, 0.0, 0.006)  # m
MASS, FRICTION = 0.06, 0.5  # kg; sliding coefficient
ROLLING = 0.001  # m: rubber that has toppled rocks a few times, not for ever
PLACE = -0.065  # m along y from the work point: the middle of where the duck may sit
BOX = 0.085  # m along y from the work point: the middle of the box; fingers open beside it at the nearest duck
WALL, FLOOR, RIM = 0.004, 0.004, 0.044  # m: thickness, top of the floor and of the walls above the table
ABOVE = 0.070  # m, of the goal: the duck's underside clears the rim by 8 mm
LOWEST, HIGHEST = 0.015, 0.130  # m, of the TCP: fingertips are 10 mm below it
REST = 0.001  # m: no part of a duck at rest moves by more in a period
RESTING = 3  # periods
SUNK = 0.001  # m: contacts yield, by less
OPEN = 0.045  # m between the fingers
AWAY = 0.060  # m from the duck's middle to the TCP: no finger reaches it
MAX_SPREAD, MAX_TURN = 0.05, 1.0  # m, rad: as far as all arms reach with their fingers open
MIN_OPENING, MAX_OPENING = 0.035, 0.045  # m


class PickPlace:
    """Picking and placing, for one robot.

    Args:
        spec: the robot; its `work_point` is between the duck's place and the box.
        spread: m, the duck sits up to this far from the middle of its place, along x and y.
        turn: rad, and is turned by up to this.
        opening: m, half of the box's inner width.

    Raises:
        BadOption: an option is out of its range.
    """

    name = "PickPlace"
    description = "pick up the yellow duck and put it into the blue box"
    rate = 10.0
    max_steps = 150
    moves_gripper = True
    scene_keys = ("duck",)

    def __init__(self, spec: RobotSpec, spread: float = 0.04, turn: float = 0.6, opening: float = 0.045) -> None:
        self.spread = real("spread", spread, 0.0, MAX_SPREAD, f"0 .. {MAX_SPREAD} (metres)")
        self.turn = real("turn", turn, 0.0, MAX_TURN, f"0 .. {MAX_TURN} (rad)")
        self.opening = real("opening", opening, MIN_OPENING, MAX_OPENING, f"{MIN_OPENING} .. {MAX_OPENING} (metres)")
        x, y, _ = spec.work_point
        self.goal = np.array([x, y + BOX, ABOVE, 0.0, 0.0, 0.0])  # the duck over the box
        self.workspace = Workspace(
            low=np.array([x - 0.06, y - 0.13, LOWEST, -0.01, -0.01, -1.1]),
            high=np.array([x + 0.06, y + 0.13, HIGHEST, 0.01, 0.01, 1.1]),
        )
        self.action_scale = np.array([0.02, 0.02, 0.02, 0.1, 0.1, 0.1])
        self.bodies = (_duck(), _box(self.opening))
        self._middle = np.array([x, y, 0.0])
        self.width = spec.gripper.width  # m between open fingers

    def start(self, rng: np.random.Generator) -> Start:
        """13 cm above the table, over duck or box or between them, the gripper open. The duck sits on its underside."""
        x, y, yaw = rng.uniform([-0.05, -0.10, -np.pi / 6], [0.05, 0.10, np.pi / 6])
        aside, along, half = rng.uniform(-1.0, 1.0, 3) * [self.spread, self.spread, self.turn / 2]
        duck = np.array([*self._middle, 0.0, 0.0, np.sin(half), np.cos(half)]) + [aside, PLACE + along, SITS, 0, 0, 0, 0]
        box = _pose(*(self._middle + [0.0, BOX, 0.0]))
        return Start(
            tcp=np.array([*(self._middle + [x, y, HIGHEST]), 0.0, 0.0, yaw]),
            gripper=1.0,
            objects=np.stack([duck, box]),
            progress=np.concatenate([[0.0], _parts(duck).ravel()]),
        )

    def judge(self, state: RobotState, scene: Scene, progress: F64) -> Judgement:
        """Sparse: 1 at success, else 0. Progress: periods at rest, and where the duck's parts (3, 3) were."""
        duck, box = scene.pose("duck"), scene.pose("box")
        parts = _parts(duck)
        before = progress[..., 1:].reshape(parts.shape)
        still = (np.linalg.norm(parts - before, axis=-1) <= REST).all(-1)
        resting = np.where(still, progress[..., 0] + 1.0, 0.0)
        inner = pose.rotate(pose.conjugate(box[..., None, 3:]), parts - box[..., None, :3])
        room = self.opening + SUNK - np.array([BODY[1], HEAD, TAIL])[:, None]
        inside = (abs(inner[..., :2]) <= room).all((-2, -1)) & ((inner[..., 2] >= FLOOR) & (inner[..., 2] <= RIM)).all(-1)
        away = np.linalg.norm(state.tcp[..., :3] - duck[..., :3], axis=-1) >= AWAY
        success = inside & (resting >= RESTING) & away & (state.gripper * self.width >= OPEN)
        success = np.asarray(success)[()]
        flat = parts.reshape((*parts.shape[:-2], 9))
        after = np.concatenate([np.asarray(resting)[..., None], flat], axis=-1)
        return Judgement(reward=success * 1.0, success=success, failure=success & False, progress=after)


def _parts(duck: F64) -> F64:
    """Middle, head and tail (..., 3, 3) of a duck at (..., 7)."""
    places = np.array([(0.0, 0.0, 0.0), HEAD_AT, TAIL_AT])
    return duck[..., None, :3] + pose.rotate(duck[..., None, 3:], places)


def _pose(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> F64:
    return np.array([x, y, z, 0.0, 0.0, 0.0, 1.0])


def _duck() -> Body:
    yellow, orange = (0.96, 0.79, 0.13, 1.0), (0.92, 0.45, 0.10, 1.0)
    beak = HEAD_AT[0] + HEAD
    shapes = (
        Shape("box", BASE, _pose(z=BASE[2] - SITS), orange),
        Shape("ellipsoid", BODY, _pose(), yellow),
        Shape("sphere", (HEAD,), _pose(*HEAD_AT), yellow),
        Shape("ellipsoid", (0.006, 0.004, 0.002), _pose(beak, 0.0, HEAD_AT[2] - 0.002), orange, collides=False),
        Shape("sphere", (TAIL,), _pose(*TAIL_AT), yellow),
    )
    return Body("duck", "free", shapes, mass=MASS, friction=FRICTION, rolling=ROLLING)


def _box(opening: float) -> Body:
    """An open box; its frame is in the middle of its underside."""
    blue, dark = (0.18, 0.38, 0.68, 1.0), (0.14, 0.29, 0.52, 1.0)
    outer, middle, half = opening + WALL, opening + WALL / 2, (RIM - FLOOR) / 2
    shapes = [Shape("box", (outer, outer, FLOOR / 2), _pose(z=FLOOR / 2), dark)]
    for side in (-1, 1):
        shapes.append(Shape("box", (WALL / 2, outer, half), _pose(side * middle, 0.0, FLOOR + half), blue))
        shapes.append(Shape("box", (opening, WALL / 2, half), _pose(0.0, side * middle, FLOOR + half), blue))
    return Body("box", "table", tuple(shapes), friction=FRICTION)
