"""Tighten a bottle's square cap with a socket wrench, held by the gripper: find the cap, turn it, and mind the torque.

The cap runs on a right-handed thread against dry friction, for its last 23 degrees; then its seal is pressed and the torque
grows until it is tight. Success takes the angle of the true cap and the torque that the arm measures, both at once, with the
cap upright and as low as its thread says for that angle: one that was lifted or tilted off its thread is not tightened.
"""

from __future__ import annotations

import numpy as np

from user_gym.core import F64, Body, Joint, Judgement, RobotSpec, RobotState, Scene, Shape, Start, Workspace, real
from user_gym.robots import pose

CAP = (0.012, 0.016)  # m: half width, height
CAP_TOP = 0.045  # m above the table, before the cap is turned
HEIGHT = 0.09  # m above the goal, of a start: as high as all arms reach over all of the workspace
PITCH = 0.003  # m a turn; that of a 28 mm PET bottle is 2.7
RUN = 0.4  # rad that the cap turns before it meets its seal
SEAL = 0.2  # rad from there to where it takes `torque`
TIGHT = 0.17  # rad past the seal's first touch that success asks for
STOP = 0.5  # rad past it: nothing turns farther
BEGIN = 0.3  # rad, yaw of the cap before it is turned; clockwise from there, through the middle of what a wrist can turn
MOUTH = 0.034  # m, from the TCP to the wrench's mouth
CEILING = 0.020  # m, from the TCP to what the cap's top touches
WALL = 0.004  # m, of the wrench
GRIP, WIDTH = 0.012, 0.020  # m: of the wrench above the TCP, and between the fingers
FRICTION = 0.2  # sliding coefficient of wrench and cap
LIFTED = 0.0005  # m off the height that the thread gives
TILTED = 0.05  # rad off the bottle's axis
ASIDE = 0.004  # m that the wrench may be off the cap's axis
ON = 0.004  # m that the cap has to be inside the wrench
MAX_OFFSET, MAX_TURN = 0.003, 0.08  # m, rad: the expert's search goes that far
MIN_CLEARANCE, MAX_CLEARANCE = (
    0.0005,
    0.002,
)  # m: contacts sink in by 0.3 mm; 2 mm let the wrench turn by 0.15 rad before the cap
MIN_TORQUE, MAX_TORQUE = 0.4, 2.0  # N m; the default compliance turns with 3 at most


class CapTighten:
    """Tightening a cap, for one robot.

    Args:
        spec: the robot; its `work_point` is where the bottle nominally stands.
        cap_offset: m, how far the bottle really is from there, in a random horizontal direction that nobody is told.
        turn_offset: rad, how far it is really turned, to a random side that nobody is told.
        clearance: m between wrench and cap on each side.
        torque: N m that the cap is to be tightened with. Half of it is what the thread's friction takes all the way.

    Raises:
        BadOption: an option is out of its range.
    """

    name = "CapTighten"
    description = "tighten the blue cap of the bottle with the wrench"
    rate = 10.0
    max_steps = 100
    moves_gripper = False
    scene_keys = ()

    def __init__(
        self,
        spec: RobotSpec,
        cap_offset: float = 0.001,
        turn_offset: float = 0.03,
        clearance: float = 0.001,
        torque: float = 1.2,
    ) -> None:
        self.cap_offset = real("cap_offset", cap_offset, 0.0, MAX_OFFSET, f"0 .. {MAX_OFFSET} (metres)")
        self.turn_offset = real("turn_offset", turn_offset, 0.0, MAX_TURN, f"0 .. {MAX_TURN} (rad)")
        allowed = f"{MIN_CLEARANCE} .. {MAX_CLEARANCE} (metres)"
        self.clearance = real("clearance", clearance, MIN_CLEARANCE, MAX_CLEARANCE, allowed)
        self.torque = real("torque", torque, MIN_TORQUE, MAX_TORQUE, f"{MIN_TORQUE} .. {MAX_TORQUE} (newton metres)")
        x, y, _ = spec.work_point
        self.goal = np.array([x, y, CAP_TOP + CEILING, 0.0, 0.0, 0.0])  # the cap all the way in the wrench
        reach = np.array([0.05, 0.05, 0.0, 0.01, 0.01, 1.0])
        self.workspace = Workspace(
            low=self.goal - reach - [0, 0, 0.002, 0, 0, 0], high=self.goal + reach + [0, 0, HEIGHT, 0, 0, 0]
        )
        self.action_scale = np.array([0.02, 0.02, 0.02, 0.1, 0.1, 0.1])
        self.bodies = (_wrench(self.clearance), _bottle(), _cap(self.torque))

    def start(self, rng: np.random.Generator) -> Start:
        """9 cm above the cap, anywhere over the workspace, turned from it by up to 30 degrees. The cap is finger-tight."""
        x, y, yaw = rng.uniform([-0.05, -0.05, -np.pi / 6], [0.05, 0.05, np.pi / 6])
        direction, side = rng.uniform(-np.pi, np.pi), rng.choice([-0.5, 0.5])
        place = self.goal[:2] + self.cap_offset * np.array([np.cos(direction), np.sin(direction)])
        half = BEGIN / 2 + side * self.turn_offset
        bottle = np.array([*place, 0.0, 0.0, 0.0, np.sin(half), np.cos(half)])
        tcp = self.goal + np.array([x, y, HEIGHT, 0.0, 0.0, BEGIN + yaw])
        return Start(tcp=tcp, gripper=0.0, objects=bottle[None], progress=np.zeros(0), joints=np.zeros(1))

    def judge(self, state: RobotState, scene: Scene, progress: F64) -> Judgement:
        """Sparse: 1 at success, else 0."""
        bottle, cap = scene.pose("bottle"), scene.pose("cap")
        back = pose.conjugate(bottle[..., 3:])
        x, y, height = pose.components(pose.rotate(back, cap[..., :3] - bottle[..., :3]))
        tilt_x, tilt_y, turn = pose.components(pose.log(pose.multiply(back, cap[..., 3:])))
        angle = -turn  # clockwise from above, as a right-handed thread is tightened
        on_its_thread = (
            (abs(height - CAP_TOP + angle * (PITCH / (2 * np.pi))) <= LIFTED)
            & (x * x + y * y <= LIFTED * LIFTED)
            & (tilt_x * tilt_x + tilt_y * tilt_y <= TILTED * TILTED)
        )
        cap_x, cap_y, cap_z = pose.components(cap[..., :3])
        tcp_x, tcp_y, tcp_z, *_ = pose.components(state.tcp)
        dx, dy = tcp_x - cap_x, tcp_y - cap_y
        held = (dx * dx + dy * dy <= ASIDE * ASIDE) & (tcp_z - cap_z <= MOUTH - ON)
        success = on_its_thread & held & (angle >= RUN + TIGHT) & (state.wrench[..., 5] >= self.torque)
        success = np.asarray(success)[()]
        return Judgement(reward=success * 1.0, success=success, failure=success & False, progress=progress)


def _pose(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> F64:
    return np.array([x, y, z, 0.0, 0.0, 0.0, 1.0])


def _wrench(clearance: float) -> Body:
    """A shank between the fingers, and a square socket below it."""
    steel, dark = (0.70, 0.72, 0.75, 1.0), (0.45, 0.47, 0.50, 1.0)
    inner = CAP[0] + clearance
    middle, half, depth = inner + WALL / 2, (MOUTH - CEILING) / 2, (MOUTH + CEILING) / 2
    shank, ceiling = (CEILING - WALL + GRIP) / 2, WALL / 2
    shapes = [
        Shape("box", (0.010, WIDTH / 2, shank), _pose(z=shank - GRIP), dark),
        Shape("box", (inner + WALL, inner + WALL, ceiling), _pose(z=CEILING - ceiling), steel),
    ]
    for side in (-1, 1):
        shapes.append(Shape("box", (WALL / 2, inner + WALL, half), _pose(x=side * middle, z=depth), steel))
        shapes.append(Shape("box", (inner, WALL / 2, half), _pose(y=side * middle, z=depth), steel))
    return Body("wrench", "tool", tuple(shapes), mass=0.08, friction=FRICTION)


def _bottle() -> Body:
    """Its frame is at the middle of its bottom, turned as the cap is before anybody turns it."""
    glass, neck = (0.80, 0.88, 0.84, 1.0), (0.86, 0.92, 0.89, 1.0)
    top = CAP_TOP - CAP[1]
    shoulder = top - 0.012  # lower than the wrench reaches down
    shapes = (
        Shape("cylinder", (0.024, shoulder / 2), _pose(z=shoulder / 2), glass),
        Shape("cylinder", (0.009, (top - shoulder) / 2), _pose(z=(top + shoulder) / 2), neck),
    )
    return Body("bottle", "table", shapes, friction=FRICTION)


def _cap(torque: float) -> Body:
    """Its frame is at the middle of its top. A mark on it shows how far it was turned."""
    blue, mark = (0.16, 0.36, 0.72, 1.0), (0.95, 0.95, 0.95, 1.0)
    thread = Joint(
        "screw",
        axis=np.array([0.0, 0.0, -1.0]),
        low=-0.2,
        high=RUN + STOP,
        friction=torque / 2,  # as much as the seal pushes back with when tight: it does not spring back
        pitch=PITCH,
        seat=RUN,
        seat_stiffness=torque / 2 / SEAL,
    )
    shapes = (
        Shape("box", (CAP[0], CAP[0], CAP[1] / 2), _pose(z=-CAP[1] / 2), blue),
        Shape("box", (CAP[0] / 2, 0.0012, 0.0002), _pose(x=CAP[0] / 2, z=0.0001), mark, collides=False),
    )
    return Body("cap", "bottle", shapes, mass=0.01, friction=FRICTION, pose=_pose(z=CAP_TOP), joint=thread)
