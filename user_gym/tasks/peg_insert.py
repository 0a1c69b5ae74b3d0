"""Insert a square peg, held by the gripper, into a square hole that is not quite where it was said to be.

The geometry, action scale, workspace and reset follow the peg insertion of SERL, HIL-SERL and RLinf. Success is stricter:
their rule (the TCP within 1 cm of its goal) can be met by a peg resting on the board; here its tip must be inside the hole
and at least 80 % of the hole's depth below the rim. `success="1cm"` is their rule, for comparison only.

With `board="blue"` or "yellow" there are two boards, and the one that is meant is only said in words.
"""

from __future__ import annotations

import numpy as np

from user_gym.core import F64, Body, Judgement, RobotSpec, RobotState, Scene, Shape, Start, Workspace
from user_gym.errors import BadOption
from user_gym.robots import pose
from user_gym.tasks import boards

PEG_WIDTH = 0.020  # m, square section
PEG_LENGTH = 0.050  # m, from the TCP to the tip
CLEARANCE = 0.0005  # m, per side
HOLE_DEPTH = 0.025  # m
RIM = 0.030  # m, height of the board's top above the table
# A chamfer of 2 mm with friction 0.3 let a push at the nominal goal, without any search, succeed 95 times in 100 on the FR3 at
# an offset of 1 mm. benchmarks/results/learning.md says what it reaches with these.
FRICTION = 0.4  # sliding coefficient of peg and board
BOARD = 0.075  # m, half width: wider than the workspace, so a peg cannot pass beside it
MAX_TILT = 0.1  # rad; at the depth of success the hole's walls allow no more than 0.05
INSIDE = 0.002  # m: a tip below the rim is at most clearance + tilt off the axis (< 1 mm); beyond this it is elsewhere
DEPTH_SHARE = 0.8
SUCCESS_RULES = ("strict", "1cm")
MAX_OFFSET = 0.003  # m: the expert's search goes that far


class PegInsert:
    """Peg insertion for one robot.

    Args:
        spec: the robot; its `work_point` is where the hole nominally is.
        hole_offset: m, how far the hole really is from there, in a random horizontal direction that nobody is told.
        success: "strict" (tip inside the hole, 80 % of its depth below the rim) or "1cm" (TCP within 1 cm of its goal).
        board: None: one board. "blue" or "yellow": there are both, and this one is meant; the start does not tell which.

    Raises:
        BadOption: `hole_offset` is not within 0 .. 3 mm, `success` is no known rule, or `board` no known board.
    """

    name = "PegInsert"
    description = "insert the red peg into the hole of the board"
    rate = 10.0
    max_steps = 100
    moves_gripper = False
    scene_keys = ()

    def __init__(self, spec: RobotSpec, hole_offset: float = 0.001, success: str = "strict", board: str | None = None) -> None:
        if not (isinstance(hole_offset, int | float | np.floating) and 0.0 <= hole_offset <= MAX_OFFSET):  # NaN fails as well
            raise BadOption("hole_offset", hole_offset, f"0 .. {MAX_OFFSET} (metres)")
        if success not in SUCCESS_RULES:
            raise BadOption("success", success, " | ".join(SUCCESS_RULES))
        if board is not None and (not isinstance(board, str) or board not in boards.TWO):
            raise BadOption("board", board, " | ".join(["None", *boards.TWO]))
        self.hole_offset = float(hole_offset)
        self.success = success
        meant = boards.Board("board", 0.0, (BOARD, BOARD), (0.72, 0.58, 0.40, 1.0)) if board is None else boards.TWO[board]
        there = [meant] if board is None else list(boards.TWO.values())
        if board is not None:
            self.description = f"insert the red peg into the {board} board"
        x, y, _ = spec.work_point
        self._middle = np.array([x, y, RIM - HOLE_DEPTH + PEG_LENGTH, 0.0, 0.0, 0.0])  # the peg touches the hole's floor
        self.goal = self._middle + np.array([0.0, meant.aside, 0.0, 0.0, 0.0, 0.0])
        self._holes = self._middle[:2] + np.array([[0.0, one.aside] for one in there])  # (k, 2) m, where they are said to be
        self._meant = meant.name
        aside = 0.05 if board is None else abs(meant.aside) + boards.ROOM
        reach = np.array([0.05, aside, 0.0, 0.01, 0.01, np.pi / 6])
        self.workspace = Workspace(low=self._middle - reach, high=self._middle + reach + [0, 0, 0.10, 0, 0, 0])
        self.action_scale = np.array([0.02, 0.02, 0.02, 0.1, 0.1, 0.1])
        hole = PEG_WIDTH / 2 + CLEARANCE
        self.bodies = (_peg(), *(boards.body(one, hole, RIM, HOLE_DEPTH, FRICTION) for one in there))

    def start(self, rng: np.random.Generator) -> Start:
        """10 cm above the goal, or the middle between two, anywhere within 5 cm, turned by up to 30 degrees."""
        x, y, yaw = rng.uniform([-0.05, -0.05, -np.pi / 6], [0.05, 0.05, np.pi / 6])
        direction = rng.uniform(-np.pi, np.pi, len(self._holes))
        objects = np.tile([0.0, 0.0, RIM, 0.0, 0.0, 0.0, 1.0], (len(self._holes), 1))
        objects[:, :2] = self._holes + self.hole_offset * np.stack([np.cos(direction), np.sin(direction)], axis=1)
        return Start(
            tcp=self._middle + np.array([x, y, 0.10, 0.0, 0.0, yaw]),
            gripper=0.0,
            objects=objects,
            progress=np.zeros(0),
        )

    def judge(self, state: RobotState, scene: Scene, progress: F64) -> Judgement:
        """Sparse: 1 at success, else 0."""
        x, y, z, rx, ry, rz = pose.components(state.tcp)
        if self.success == "1cm":
            gx, gy, gz = self.goal[:3].tolist()
            success = (abs(x - gx) <= 0.01) & (abs(y - gy) <= 0.01) & (abs(z - gz) <= 0.01)
        else:
            # The tip hangs PEG_LENGTH from the TCP along the tool's axis. Rodrigues' formula for that axis, with the series of
            # sin(t)/t and (1 - cos(t))/t^2: 1e-5 at 0.6 rad, and plain arithmetic is equal for one arm and a batch.
            tilt2 = rx * rx + ry * ry
            t2 = tilt2 + rz * rz
            sine, cosine = 1 - t2 * (1 / 6 - t2 / 120), 0.5 - t2 * (1 / 24 - t2 / 720)
            hx, hy, rim, *_ = pose.components(scene.pose(self._meant))
            dx = x - hx - PEG_LENGTH * (sine * ry + cosine * rx * rz)
            dy = y - hy + PEG_LENGTH * (sine * rx - cosine * ry * rz)
            drop = cosine * tilt2  # 1 - cos(tilt)
            depth = rim - z + PEG_LENGTH * (1 - drop)
            inside = (dx * dx + dy * dy <= INSIDE * INSIDE) & (drop <= 0.5 * MAX_TILT * MAX_TILT)
            success = inside & (depth >= DEPTH_SHARE * HOLE_DEPTH)
        success = np.asarray(success)[()]
        return Judgement(reward=success * 1.0, success=success, failure=success & False, progress=progress)


def _pose(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> F64:
    return np.array([x, y, z, 0.0, 0.0, 0.0, 1.0])


def _peg() -> Body:
    """A box whose top is between the fingers and whose tip is PEG_LENGTH beyond the TCP."""
    grip = 0.012  # m of the peg above the TCP
    half = PEG_WIDTH / 2
    shape = Shape("box", (half, half, (PEG_LENGTH + grip) / 2), _pose(z=(PEG_LENGTH - grip) / 2), (0.85, 0.25, 0.15, 1.0))
    return Body("peg", "tool", (shape,), mass=0.05, friction=FRICTION)
