"""Details of the twin: the moment and the mean of its wrench, its torque limits, its divergence and its posture."""

from dataclasses import replace

import numpy as np
import pytest

from user_gym.core import Body, Command, Shape, Start
from user_gym.errors import NotReset, RobotFault
from user_gym.robots import kinematics, specs
from user_gym.sim.cell import build
from user_gym.sim.plant import compile_plant
from user_gym.sim.twins import MujocoTwins
from user_gym.tasks.peg_insert import PEG_LENGTH, PEG_WIDTH, RIM, PegInsert

FRANKA = specs.spec("franka-fr3")
EDGE = 0.004  # m off the peg's axis


class OneSided(PegInsert):
    """The board is one slippery box: a plate under the peg's +x +y corner, or a wall beside the +y half of its +x face."""

    def __init__(self, spec, wall=False) -> None:
        super().__init__(spec, hole_offset=0.0)
        side = EDGE + 0.05
        x, z = (PEG_WIDTH / 2 + 0.002 + 0.05, 0.015) if wall else (side, -0.015)
        box = Shape("box", (0.05, 0.05, 0.015), np.array([x, side, z, 0, 0, 0, 1.0]))
        self.bodies = (replace(self.bodies[0], friction=0.01), Body("board", "table", (box,), friction=0.01))


class EverySubstep(PegInsert):
    """A control period of one substep of 4 ms."""

    rate = 250.0


def twin(task, control="tcp", spec=FRANKA):
    arm = build(spec, task, control, 0.004).robot
    arm.connect()
    return arm


def test_a_press_beside_the_tools_axis_reads_as_arm_times_force() -> None:
    task = OneSided(FRANKA)
    arm = twin(task)
    begin = task.start(np.random.default_rng(0))
    tcp = np.array([*task.goal[:2], RIM + PEG_LENGTH + 0.002, 0, 0, 0])
    arm.reset(replace(begin, tcp=tcp))
    for _ in range(10):
        state = arm.exchange(Command(0.0, tcp=tcp - [0, 0, 0.008, 0, 0, 0]))
    sideways, up = np.abs(state.wrench[:2]), state.wrench[2]
    assert up > 8.0
    assert sideways.max() < 0.02 * up  # the only force is along z: its moment is (y, -x, 0) times it
    assert EDGE - 0.001 < state.wrench[3] / up < PEG_WIDTH / 2 + 0.001
    assert EDGE - 0.001 < -state.wrench[4] / up < PEG_WIDTH / 2 + 0.001
    assert abs(state.wrench[5]) < 0.001 * up
    arm.close()


def test_a_push_against_a_wall_beside_the_tools_axis_reads_as_arm_times_force() -> None:
    task = OneSided(FRANKA, wall=True)
    arm = twin(task)
    tcp = np.array([*task.goal[:2], RIM + PEG_LENGTH + 0.010, 0, 0, 0])
    state = arm.reset(replace(task.start(np.random.default_rng(0)), tcp=tcp))
    for _ in range(10):
        state = arm.exchange(Command(0.0, tcp=tcp + [0.008, 0, 0, 0, 0, 0]))
    back, others = -state.wrench[0], np.abs(state.wrench[1:3])
    assert back > 3.0
    assert others.max() < 0.05 * back  # the only force is along -x: its moment is (0, -z, y) times it
    assert 0.019 < state.wrench[4] / back < PEG_LENGTH + 0.001
    assert EDGE - 0.001 < state.wrench[5] / back < PEG_WIDTH / 2 + 0.001
    arm.close()


def test_the_wrench_from_joint_torques_is_of_their_mean_over_the_period() -> None:
    """The same fall onto the board, once in periods of 0.1 s and once in periods of one substep."""
    arm = specs.spec("arx-x5")
    task = PegInsert(arm)
    coarse, fine = twin(task, spec=arm), twin(EverySubstep(arm), spec=arm)
    begin = replace(task.start(np.random.default_rng(0)), tcp=task.goal + np.array([0.03, 0, 0.045, 0, 0, 0]))
    state, other = coarse.reset(begin), fine.reset(begin)
    apart = 0.0
    for _ in range(6):
        order = Command(0.0, tcp=state.tcp - [0, 0, 0.02, 0, 0, 0])
        state = coarse.exchange(order)
        torques = []
        for _ in range(25):
            other = fine.exchange(order)
            torques.append(other.tau)
        assert np.allclose(other.q, state.q, atol=1e-12)
        carried = kinematics.jacobian(arm, state.q).T
        expected = np.linalg.solve(carried, carried @ other.wrench + other.tau - np.mean(torques, axis=0))
        assert np.allclose(state.wrench, expected, atol=0.05)  # the twin's Jacobian may be a substep younger
        apart = max(apart, np.abs(state.wrench[:3] - other.wrench[:3]).max())
    assert apart > 5.0  # N: the mean and the last moment are not the same thing
    coarse.close()
    fine.close()


def test_a_simulation_that_diverges_is_a_fault_and_must_be_reset(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes what it warns of into a file where it runs
    task = PegInsert(FRANKA)
    batch = MujocoTwins(compile_plant(FRANKA, task, "tcp", 0.004), 2)
    batch.connect()
    one = task.start(np.random.default_rng(0))
    begin = Start(np.stack([one.tcp] * 2), np.zeros(2), np.stack([one.objects] * 2), np.zeros((2, 0)), np.zeros(2, int))
    everyone, order = np.ones(2, bool), Command(np.zeros(2), tcp=np.stack([one.tcp] * 2))
    batch.reset(everyone, begin)
    batch._batch.bind("qvel")[1] = 1e12
    with pytest.raises(RobotFault, match=r"franka-fr3 number \[1\] diverged; reset it"):
        batch.exchange(order)
    with pytest.raises(NotReset):
        batch.exchange(order)
    batch.reset(everyone, begin)
    assert batch.exchange(order).time.tolist() == pytest.approx([0.1, 0.1])
    batch.close()


@pytest.mark.parametrize("control", ["tcp", "joint"])
@pytest.mark.parametrize("robot", specs.SPECS)
def test_the_model_has_the_torque_limits_of_the_spec(robot, control) -> None:
    spec = specs.spec(robot)
    model = compile_plant(spec, PegInsert(spec), control, 0.004).model
    assert model.jnt_actfrclimited[: spec.dof].all()
    assert np.allclose(model.jnt_actfrcrange[: spec.dof], np.stack([-spec.tau_max, spec.tau_max], axis=-1))


@pytest.mark.parametrize("joint", [0, 1])
def test_no_order_makes_a_joint_give_more_than_its_torque(joint) -> None:
    task = PegInsert(FRANKA)
    arm = twin(task, "joint")
    state = arm.reset(task.start(np.random.default_rng(0)))
    order = state.q.copy()
    order[joint] += 20.0
    torques = [arm.exchange(Command(0.0, joints=order)).tau[joint] for _ in range(3)]
    assert max(torques) == pytest.approx(FRANKA.tau_max[joint], rel=1e-6)
    arm.close()
