"""Put a charger's plug, held by the gripper, into a socket that is not quite where, and not quite turned as, it was said to be.

Two flat prongs in two slots: other than a peg, they go in only where the plug is turned right. Both of them have to be in by
80 % of their length, by the socket's true pose.
"""

from __future__ import annotations

import numpy as np

from user_gym.core import F64, Body, Judgement, RobotSpec, RobotState, Scene, Shape, Start, Workspace, real
from user_gym.robots import pose

PRONG = (0.003, 0.001, 0.018)  # m: half width, half thickness, length; NEMA 1-15 has 3.2, 0.75 and 16 to 18
SPACING = 0.0065  # m, of each prong from the plug's axis; NEMA 1-15: 6.35
FACE = 0.022  # m, from the TCP to the face that the prongs stand on
GRIP = 0.012  # m of the plug above the TCP
WIDTH = 0.020  # m, of the plug between the fingers
DEPTH = 0.020  # m, of the slots
RIM = 0.030  # m, height of the socket's face above the table
FRICTION = 0.3  # sliding coefficient of plastic and brass
PLATE, FRONT = 0.075, 0.022  # m, half widths of the board, wider than the workspace, and of the socket in it
INSIDE = 0.002  # m: an inserted prong is at most clearance and tilt off its slot's axis; beyond this it is elsewhere
DEPTH_SHARE = 0.8
MAX_OFFSET, MAX_TURN = 0.003, 0.08  # m, rad: the expert's search goes that far
MIN_CLEARANCE, MAX_CLEARANCE = 0.0003, 0.0015  # m: contacts sink in by 0.3 mm; slots do not meet


class Charger:
    """Plugging in, for one robot.

    Args:
        spec: the robot; its `work_point` is where the socket nominally is.
        hole_offset: m, how far the socket really is from there, in a random horizontal direction that nobody is told.
        turn_offset: rad, how far it is really turned, to a random side that nobody is told.
        clearance: m, on each side of a prong.

    Raises:
        BadOption: an option is out of its range.
    """

    name = "Charger"
    description = "plug the white charger into the socket"
    rate = 10.0
    max_steps = 100
    moves_gripper = False
    scene_keys = ()

    def __init__(
        self, spec: RobotSpec, hole_offset: float = 0.001, turn_offset: float = 0.03, clearance: float = 0.0005
    ) -> None:
        self.hole_offset = real("hole_offset", hole_offset, 0.0, MAX_OFFSET, f"0 .. {MAX_OFFSET} (metres)")
        self.turn_offset = real("turn_offset", turn_offset, 0.0, MAX_TURN, f"0 .. {MAX_TURN} (rad)")
        allowed = f"{MIN_CLEARANCE} .. {MAX_CLEARANCE} (metres)"
        self.clearance = real("clearance", clearance, MIN_CLEARANCE, MAX_CLEARANCE, allowed)
        x, y, _ = spec.work_point
        self.goal = np.array([x, y, RIM + FACE, 0.0, 0.0, 0.0])  # the plug's face touches the socket's
        reach = np.array([0.05, 0.05, 0.0, 0.01, 0.01, np.pi / 6])
        self.workspace = Workspace(low=self.goal - reach, high=self.goal + reach + [0, 0, 0.10, 0, 0, 0])
        self.action_scale = np.array([0.02, 0.02, 0.02, 0.1, 0.1, 0.1])
        self.bodies = (_plug(), _socket(self.clearance))

    def start(self, rng: np.random.Generator) -> Start:
        """10 cm above the goal, anywhere over the workspace, turned by up to 30 degrees."""
        x, y, yaw = rng.uniform([-0.05, -0.05, -np.pi / 6], [0.05, 0.05, np.pi / 6])
        direction, side = rng.uniform(-np.pi, np.pi), rng.choice([-0.5, 0.5])
        place = self.goal[:2] + self.hole_offset * np.array([np.cos(direction), np.sin(direction)])
        half = side * self.turn_offset  # of a half turn, as quaternions have it
        socket = np.array([*place, RIM, 0.0, 0.0, np.sin(half), np.cos(half)])
        return Start(
            tcp=self.goal + np.array([x, y, 0.10, 0.0, 0.0, yaw]), gripper=0.0, objects=socket[None], progress=np.zeros(0)
        )

    def judge(self, state: RobotState, scene: Scene, progress: F64) -> Judgement:
        """Sparse: 1 at success, else 0."""
        tool, socket = pose.from_chart(state.tcp), scene.pose("socket")
        back = pose.conjugate(socket[..., 3:])
        success = np.ones(state.tcp.shape[:-1], bool)
        for side in (-SPACING, SPACING):
            tip = tool[..., :3] + pose.rotate(tool[..., 3:], np.array([0.0, side, FACE + PRONG[2]])) - socket[..., :3]
            x, y, z = pose.components(pose.rotate(back, tip))  # in the socket's frame
            # The tool points down, so its y axis is the socket's backwards.
            success &= (x * x + (y + side) * (y + side) <= INSIDE * INSIDE) & (z <= -DEPTH_SHARE * PRONG[2])
        success = np.asarray(success)[()]
        return Judgement(reward=success * 1.0, success=success, failure=success & False, progress=progress)


def _box(x: float, y: float, z: float, half: tuple[float, float, float], rgba: tuple[float, float, float, float]) -> Shape:
    return Shape("box", half, np.array([x, y, z, 0.0, 0.0, 0.0, 1.0]), rgba)


def _plug() -> Body:
    """A block between the fingers, and two prongs below it, side by side along the fingers' axis."""
    white, brass = (0.93, 0.93, 0.95, 1.0), (0.80, 0.62, 0.25, 1.0)
    block = _box(0, 0, (FACE - GRIP) / 2, (0.013, WIDTH / 2, (FACE + GRIP) / 2), white)
    half = (PRONG[0], PRONG[1], PRONG[2] / 2)
    prongs = [_box(0, side, FACE + PRONG[2] / 2, half, brass) for side in (-SPACING, SPACING)]
    return Body("plug", "tool", (block, *prongs), mass=0.05, friction=FRICTION)


def _socket(clearance: float) -> Body:
    """A board with a white socket in it; its frame is at the middle of the face. The edges are sharp."""
    wood, dark, white = (0.72, 0.58, 0.40, 1.0), (0.25, 0.25, 0.28, 1.0), (0.90, 0.91, 0.93, 1.0)
    wide, thick, z = PRONG[0] + clearance, PRONG[1] + clearance, -DEPTH / 2
    shapes = [_box(0, 0, -(RIM + DEPTH) / 2, (PLATE, PLATE, (RIM - DEPTH) / 2), dark)]
    shapes.append(_box(0, 0, z, (wide, SPACING - thick, DEPTH / 2), white))  # between the slots
    inner, outer = SPACING + thick, FRONT
    for side in (-1, 1):
        shapes.append(_box(0, side * (inner + outer) / 2, z, (wide, (outer - inner) / 2, DEPTH / 2), white))
        shapes.append(_box(side * (wide + outer) / 2, 0, z, ((outer - wide) / 2, outer, DEPTH / 2), white))
        shapes.append(_box(side * (PLATE + outer) / 2, 0, z, ((PLATE - outer) / 2, PLATE, DEPTH / 2), wood))
        shapes.append(_box(0, side * (PLATE + outer) / 2, z, (outer, (PLATE - outer) / 2, DEPTH / 2), wood))
    return Body("socket", "table", tuple(shapes), friction=FRICTION)
