"""A task whose bodies are of every kind: loose ones, a bottle with a screw cap, a box with a lid, a drawer."""

import numpy as np

from user_gym.core import Body, Joint, Judgement, Shape, Start, Workspace

CUBE, CAP = 0.015, 0.012  # m, half edge; radius
SEAT, STIFFNESS, FRICTION, PITCH = 1.0, 2.0, 0.6, 0.003  # rad, N m/rad, N m, m a turn
DOWN, ALONG_Y, ALONG_X = np.array([0, 0, -1.0]), np.array([0, 1.0, 0]), np.array([1.0, 0, 0])


def at(x=0.0, y=0.0, z=0.0):
    return np.array([x, y, z, 0, 0, 0, 1.0])


def solid(size, *place, kind="box"):
    return (Shape(kind, size, at(*place)),)


CAP_JOINT = Joint(
    "screw", DOWN, low=-0.1, high=2.0, friction=FRICTION, damping=0.05, pitch=PITCH, seat=SEAT, seat_stiffness=STIFFNESS
)
LID_JOINT = Joint("hinge", ALONG_Y, low=-1.5, high=0.0, friction=0.002, damping=0.02)
DRAWER_JOINT = Joint("slide", ALONG_X, low=0.0, high=0.05, friction=0.5)


class Props:
    """No reward. Three cubes, the first between the fingers of the start."""

    name = "Props"
    description = "there is nothing to do"
    rate = 10.0
    max_steps = 100
    moves_gripper = True
    scene_keys = ()

    def __init__(self, spec) -> None:
        x, y, _ = spec.work_point
        self.goal = np.array([x, y, CUBE, 0, 0, 0])
        reach = np.array([0.1, 0.1, 0.1, 0.01, 0.01, 0.5])
        self.workspace = Workspace(self.goal - reach * [1, 1, 0, 1, 1, 1], self.goal + reach)
        self.action_scale = np.array([0.02, 0.02, 0.02, 0.1, 0.1, 0.1])
        cube = solid((CUBE, CUBE, CUBE))
        self.bodies = (
            *(Body(f"cube{i}", "free", cube, mass=0.05, friction=0.5) for i in range(3)),
            Body("bottle", "table", solid((0.01, 0.032), 0, 0, 0.032, kind="cylinder")),
            Body("cap", "bottle", solid((CAP, 0.006), kind="cylinder"), 0.01, pose=at(z=0.066), joint=CAP_JOINT),
            Body("box", "table", solid((0.04, 0.04, 0.002), 0, 0, 0.002)),
            Body("lid", "box", solid((0.04, 0.04, 0.002), 0.04), 0.05, pose=at(-0.04, 0, 0.03), joint=LID_JOINT),
            Body("drawer", "box", solid((0.01, 0.01, 0.005)), 0.05, pose=at(0, 0, 0.01), joint=DRAWER_JOINT),
        )

    def start(self, rng) -> Start:
        x, y = self.goal[:2]
        cubes = [at(x, y, CUBE), at(x + 0.08, y, CUBE), at(x + 0.08, y, 3 * CUBE)]
        fixed = [at(x, y + 0.12), at(x, y - 0.14)]
        return Start(self.goal, 1.0, np.array([*cubes, *fixed]), np.zeros(0), joints=np.array([0.2, -1.2, 0.03]))

    def judge(self, state, scene, progress) -> Judgement:
        no = np.zeros(state.tcp.shape[:-1], bool)
        return Judgement(no * 1.0, no, no, progress)
