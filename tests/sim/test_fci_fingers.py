"""The hand of an FCI twin whose task moves the fingers: it closes on what is there, lifts it, and lets it fall."""

import struct

import numpy as np
import pytest
from props import CUBE, Props

from user_gym.robots import reach, specs
from user_gym.robots.wire.fci import TICK
from user_gym.robots.wire.fci_gripper import STATE, Call, Status
from user_gym.sim.fci.body import Body
from user_gym.sim.fci.fingers import MovedFingers
from user_gym.sim.fci.hand import Hand

FR3 = specs.spec("franka-fr3")
TASK = Props(FR3)


class Rig:
    """An arm over the first cube, its fingers open."""

    def __init__(self) -> None:
        start = TASK.start(np.random.default_rng(0))
        self.body, self.standing, self.answers = Body(FR3, TASK), False, []
        data = self.body.data
        self.body.plant.placing.place(data.qpos, data.mocap_pos, data.mocap_quat, start.objects, start.joints)
        self.q = reach.solve(FR3, start.tcp)
        self.body.place(self.q)
        fingers = MovedFingers(self.body, lambda: self.standing)
        self.hand = Hand(FR3.gripper, 0.0, lambda *answer: self.answers.append(answer), fingers)

    def call(self, call: Call, *values: float) -> None:
        self.hand.serve((int(call), 7, struct.pack(f"<{len(values)}d", *values)))

    def run(self, seconds: float, q=None) -> None:
        begin, goal = self.q, self.q if q is None else q
        for k in range(round(seconds / TICK)):
            self.q = begin + (goal - begin) * min(1.0, k * TICK / (0.7 * seconds))
            self.body.servo(self.q, np.zeros(7), FR3.joint_stiffness, FR3.joint_damping)
            self.hand.advance(TICK)

    @property
    def cube(self) -> float:
        """m, height of the cube's middle."""
        return float(self.body.data.body("cube0").xpos[2])


@pytest.fixture
def rig():
    return Rig()


def test_a_grasp_ends_on_the_object_and_holds_it_until_the_hand_opens(rig) -> None:
    assert rig.hand.apart == pytest.approx(FR3.gripper.width)
    rig.call(Call.GRASP, 2 * CUBE, 0.005, 0.005, 0.1, 40.0)
    rig.run(1.5)
    assert rig.answers == [(int(Call.GRASP), 7, int(Status.SUCCESS))]
    assert rig.hand.grasped
    assert rig.hand.apart == pytest.approx(2 * CUBE, abs=0.001)
    assert np.frombuffer(rig.hand.state(), STATE)["width"][0] == rig.hand.apart
    rig.run(1.5, reach.solve(FR3, TASK.goal + [0, 0, 0.05, 0, 0, 0]))
    assert rig.cube > CUBE + 0.04
    rig.call(Call.MOVE, FR3.gripper.width, 0.1)
    rig.run(1.5)
    assert rig.answers[-1] == (int(Call.MOVE), 7, int(Status.SUCCESS))
    assert rig.cube == pytest.approx(CUBE, abs=0.001)


def test_a_grasp_of_nothing_is_unsuccessful(rig) -> None:
    rig.body.data.joint("cube0_free").qpos[0] += 0.2
    rig.call(Call.GRASP, 0.0, 0.08, 0.08, 0.1, 40.0)
    rig.run(1.5)
    assert rig.answers == [(int(Call.GRASP), 7, int(Status.UNSUCCESSFUL))]
    assert not rig.hand.grasped


def test_fingers_of_an_arm_whose_time_stands_still_go_where_they_are_led(rig) -> None:
    rig.standing = True
    rig.call(Call.MOVE, 0.05, 0.1)
    for _ in range(400):
        rig.hand.advance(TICK)
    assert rig.answers == [(int(Call.MOVE), 7, int(Status.SUCCESS))]
    assert rig.hand.apart == pytest.approx(0.05)
