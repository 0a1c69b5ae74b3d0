"""The twin against other truths: closed-form kinematics, potential energy, the spring's own force."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np
import pytest

from user_gym.core import Command, Compliance
from user_gym.robots import kinematics, pose, specs
from user_gym.robots.registry import load
from user_gym.sim.cell import build
from user_gym.sim.plant import compile_plant
from user_gym.tasks.expert import PegInsertExpert
from user_gym.tasks.peg_insert import PegInsert
from user_gym.testing.bench import Bench

ROBOTS = ("franka-fr3", "franka-fer", "arx-x5", "arx-l5")
RNG = np.random.default_rng


def some_joints(spec, n=20):
    return RNG(1).uniform(spec.q_min, spec.q_max, (n, spec.dof))


def turn(axis, angle) -> np.ndarray:
    """Rotation matrix by Rodrigues' formula."""
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def frames(spec, q):
    """(turn, origin) of every link, base first, by multiplying the tables' rows: shares no code with robots.kinematics."""
    r, p = np.eye(3), np.zeros(3)
    found = [(r, p)]
    for xyz, (roll, pitch, yaw), axis, angle in zip(spec.joint_xyz, spec.joint_rpy, spec.joint_axis, q, strict=True):
        p = p + r @ xyz
        r = r @ turn((0, 0, 1), yaw) @ turn((0, 1, 0), pitch) @ turn((1, 0, 0), roll) @ turn(axis, angle)
        found.append((r, p))
    return found


def energy(spec, q, bare=False) -> float:
    """Potential energy (J) of links, hand, fingers and peg; bare: of the links alone."""
    links = frames(spec, q)
    heights = [m * (p + r @ c)[2] for m, c, (r, p) in zip(spec.link_mass, spec.link_com, links, strict=True)]
    r, p = links[-1]
    hand_turn, hand = pose.matrix(spec.flange[3:]), spec.flange[:3]
    tool_turn, tool = hand_turn @ pose.matrix(spec.tcp[3:]), hand + hand_turn @ spec.tcp[:3]
    carried = [
        (spec.hand_mass, hand + hand_turn @ spec.hand_com),
        (0.06 * (spec.hand_mass > 0), tool + tool_turn @ [0, 0, -0.02]),  # two fingers, where the last link has no hand in it
        (0.05, tool + tool_turn @ [0, 0, 0.019]),  # the peg, from 12 mm above the TCP to 50 mm below
    ]
    heights += [] if bare else [m * (p + r @ at)[2] for m, at in carried]
    return spec.gravity * float(np.sum(heights))


def gravity_torque(spec, q, bare=False, step=1e-6) -> np.ndarray:
    """Derivative of the energy, by central differences."""
    ends = ((energy(spec, q + step * e, bare), energy(spec, q - step * e, bare)) for e in np.eye(spec.dof))
    return np.array([(up - down) / (2 * step) for up, down in ends])


def twin(robot="franka-fr3", task=None, spec=None, dt=0.004):
    spec = spec or specs.spec(robot)
    task = task or Bench(spec)
    arm = build(spec, task, "tcp", dt).robot
    arm.connect()
    return arm, task


def hold(arm, target, periods):
    states = [arm.exchange(Command(0.0, tcp=target)) for _ in range(periods)]
    return states[-1]


def press(arm, task, depth) -> float:
    """Mean force (N) along z with an order `depth` (m) below the pose at which the tool rests."""
    state = arm.reset(task.start(RNG(0)))
    target = state.tcp.copy()
    while state.tcp[2] - target[2] < 0.003:
        target[2] -= 0.001
        state = hold(arm, target, 2)
    target[2] = hold(arm, target, 10).tcp[2] - depth
    hold(arm, target, 15)
    return float(np.mean([arm.exchange(Command(0.0, tcp=target)).wrench[2] for _ in range(5)]))


@pytest.mark.parametrize("control", ["tcp", "joint"])
@pytest.mark.parametrize("robot", ROBOTS)
def test_the_model_has_the_kinematics_of_the_tables(robot, control) -> None:
    spec = specs.spec(robot)
    model = compile_plant(spec, PegInsert(spec), control, 0.004).model
    data = mujoco.MjData(model)
    for q in some_joints(spec):
        data.qpos[: spec.dof] = q
        mujoco.mj_kinematics(model, data)
        site = data.site("tcp")
        expected = kinematics.forward(spec, q)
        assert np.allclose(site.xpos, expected[:3], atol=1e-12)
        assert np.allclose(site.xmat.reshape(3, 3), pose.matrix(expected[3:]), atol=1e-12)


@pytest.mark.parametrize(("robot", "tool"), [("arx-x5", (0.2402, 0.001, 0.1565)), ("arx-l5", (0.2527, 0.0, 0.1635))])
def test_the_vendors_figures_for_the_tool_at_zero_hold(robot, tool) -> None:
    spec = specs.spec(robot)
    model = compile_plant(spec, PegInsert(spec), "tcp", 0.004).model
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    assert np.allclose(data.site("tcp").xpos, tool, atol=1.1e-4)


@pytest.mark.parametrize("robot", ROBOTS)
def test_gravity_pulls_the_model_as_its_potential_energy_says(robot) -> None:
    spec = specs.spec(robot)
    model = compile_plant(spec, PegInsert(spec), "tcp", 0.004).model
    data = mujoco.MjData(model)
    for q in some_joints(spec, 10):
        data.qpos[: spec.dof] = q
        mujoco.mj_forward(model, data)
        assert np.allclose(data.qfrc_bias[: spec.dof], gravity_torque(spec, q), atol=1e-6)


@pytest.mark.parametrize("robot", ROBOTS)
def test_an_arm_at_rest_reports_the_torque_that_carries_it(robot) -> None:
    spec = replace(specs.spec(robot), friction=(0.0, 0.0))
    arm, task = twin(task=PegInsert(spec), spec=spec)
    start = task.start(RNG(0))
    arm.reset(start)
    state = hold(arm, start.tcp, 20)
    assert np.abs(state.dq).max() < 1e-4
    assert np.abs(state.tcp - start.tcp).max() < 1e-5  # nothing pulls it off its order
    assert np.allclose(state.tau, gravity_torque(spec, state.q), atol=0.01)


def test_a_urdf_of_the_panda_that_others_wrote_agrees() -> None:
    """ManiSkill's, where it is installed. Its hand is another, so it is weighed without hand and fingers."""
    package = find_spec("mani_skill")
    if package is None or package.origin is None:
        pytest.skip("mani_skill is not installed (extra 'maniskill')")
    spec = specs.spec("franka-fer")
    other = mujoco.MjSpec.from_file(str(Path(package.origin).parent / "assets/robots/panda/panda_v2.urdf"))
    other.compiler.fusestatic = False
    other.option.gravity = (0, 0, -spec.gravity)
    model = other.compile()
    for i in range(model.nbody):
        if not model.body(i).name.startswith("panda_link"):
            model.body_mass[i] = 0.0
    data = mujoco.MjData(model)
    for q in some_joints(spec, 10):
        data.qpos[:7] = q
        mujoco.mj_forward(model, data)
        r, p = frames(spec, q)[-1]
        assert np.allclose(data.body("panda_link7").xpos, p, atol=1e-5)
        assert np.allclose(data.body("panda_link7").xmat.reshape(3, 3), r, atol=1e-5)
        assert np.allclose(data.qfrc_bias[:7], gravity_torque(spec, q, bare=True), atol=1e-3)


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_static_press_reads_as_the_springs_force(robot) -> None:
    spec = replace(specs.spec(robot), friction=(0.0, 0.0))
    arm, task = twin(task=Bench(spec), spec=spec)
    assert press(arm, task, 0.006) == pytest.approx(spec.compliance.stiffness[2] * 0.006, rel=0.04)


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_the_clip_of_the_error_bounds_the_force(robot) -> None:
    spec = replace(specs.spec(robot), friction=(0.0, 0.0))
    arm, task = twin(task=Bench(spec), spec=spec)
    most = spec.compliance.stiffness[2] * spec.compliance.error_clip[2]
    assert press(arm, task, 0.030) == pytest.approx(most, rel=0.05)


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_compliance_can_be_changed_while_it_runs(robot) -> None:
    spec = replace(specs.spec(robot), friction=(0.0, 0.0))
    arm, task = twin(task=Bench(spec), spec=spec)
    stiff = press(arm, task, 0.006)
    own = spec.compliance
    arm.set_compliance(Compliance(own.stiffness / 2, own.damping, own.error_clip))
    assert press(arm, task, 0.006) == pytest.approx(stiff / 2, rel=0.06)
    arm.set_compliance(own)
    assert press(arm, task, 0.006) == pytest.approx(stiff, rel=0.01)


@pytest.mark.parametrize("dt", [0.001, 0.002, 0.004, 0.005])
@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_every_substep_holds_still_and_inserts(robot, dt) -> None:
    spec = specs.spec(robot)
    task = PegInsert(spec)
    cell = load(robot, "sim")(spec, task, "tcp", dt)
    arm = cell.robot
    arm.connect()
    start = task.start(RNG(3))
    arm.reset(start)
    state = hold(arm, start.tcp, 10)
    assert np.abs(state.tcp - hold(arm, start.tcp, 5).tcp).max() < 2e-5
    expert = PegInsertExpert(task)
    for _ in range(100):
        order = state.tcp + expert.action(state) * task.action_scale
        state = arm.exchange(Command(0.0, tcp=np.clip(order, task.workspace.low, task.workspace.high)))
        if task.judge(state, cell.scene.observe(), np.zeros(0)).success:
            break
    assert task.judge(state, cell.scene.observe(), np.zeros(0)).success
    target = state.tcp.copy()
    hold(arm, target, 10)
    assert np.abs(hold(arm, target, 5).tcp[:3] - target[:3]).max() < 1e-3
    arm.close()


def test_the_wrench_is_the_mean_over_the_period_not_its_last_moment() -> None:
    """At an impact the two are far apart; the mean stays near what the spring and the peg's momentum can give."""
    spec = specs.spec("franka-fr3")
    arm, task = twin(task=PegInsert(spec, hole_offset=0.003))
    start = replace(task.start(RNG(0)), tcp=task.goal + np.array([0.03, 0, 0.06, 0, 0, 0]))
    state = arm.reset(start)
    means, lasts = [], []
    contact = arm._twins.plant.sensors["contact"]
    for _ in range(12):
        state = arm.exchange(Command(0.0, tcp=state.tcp - [0, 0, 0.02, 0, 0, 0]))
        means.append(state.wrench[2])
        lasts.append(-arm._twins._last[0, contact][2])
    assert max(means) > 10
    assert max(np.abs(np.array(means) - lasts)) > 5
    assert means[-1] == pytest.approx(20.0, rel=0.1)  # at rest against the clip: both agree
    assert lasts[-1] == pytest.approx(means[-1], rel=0.1)


@pytest.mark.parametrize("robot", ["franka-fr3", "franka-fer"])
def test_the_elbow_of_a_redundant_arm_comes_to_rest(robot) -> None:
    """Nothing measures its swing at the TCP: it needs a damping of its own."""
    arm, task = twin(robot)
    start = task.start(RNG(0))
    arm.reset(start)
    hold(arm, start.tcp + np.array([0.04, 0.03, 0.02, 0, 0, 0.2]), 10)
    hold(arm, start.tcp, 60)
    assert np.abs(hold(arm, start.tcp, 1).dq).max() < 2e-3


@pytest.mark.parametrize(("robot", "varies"), [("arx-x5", True), ("arx-l5", True), ("franka-fr3", False)])
def test_joint_friction_is_drawn_per_episode_where_the_arm_has_it(robot, varies) -> None:
    arm, task = twin(robot)
    ends = []
    for seed in (1, 2, 1):
        start = replace(task.start(RNG(0)), seed=seed)
        arm.reset(start)
        ends.append(hold(arm, start.tcp + np.array([0.02, 0, 0.02, 0, 0, 0.1]), 3).q)
    assert np.array_equal(ends[0], ends[2])
    assert np.array_equal(ends[0], ends[1]) is not varies
