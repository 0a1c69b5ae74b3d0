"""Bodies of tasks in PhysX: what lies, slides, is gripped, and what this backend does not build."""

import importlib
import warnings

import gymnasium as gym
import numpy as np
import pytest

from user_gym.core import Body, Command, Shape, Start
from user_gym.errors import BadOption, MissingSystem
from user_gym.robots import kinematics, pose, registry, specs
from user_gym.testing.bench import Bench

pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)

import user_gym.sim.maniskill
from user_gym.sim.maniskill import bodies
from user_gym.sim.maniskill.law import BRISTLE, DryFriction, Impedance
from user_gym.tasks.pick_place import BODY, MASS, SITS, PickPlace

FR3 = specs.spec("franka-fr3")
HERE = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])


class Table(Bench):
    """One free body on the table, beside the plate."""

    def __init__(self, spec, shape, friction=0.3) -> None:
        super().__init__(spec)
        self.bodies = (*self.bodies, Body("thing", "free", (shape,), mass=0.1, friction=friction))


def thing(shape, at) -> np.ndarray:
    """Where a body (7,) is after 1 s on the table."""
    task = Table(FR3, shape)
    arm = registry.load("franka-fr3", "maniskill")(FR3, task, "tcp").robot
    arm.connect()
    start = task.start(np.random.default_rng(0))
    arm.reset(Start(start.tcp, 0.0, np.concatenate([start.objects, at[None]]), start.progress))
    for _ in range(10):
        arm.exchange(Command(0.0, tcp=start.tcp))
    return arm.observe().pose("thing")


@pytest.mark.parametrize(
    ("shape", "height"),
    [
        (Shape("box", (0.02, 0.01, 0.015), HERE), 0.015),
        (Shape("sphere", (0.02,), HERE), 0.02),
        (Shape("cylinder", (0.02, 0.01), HERE), 0.01),  # it stands along z
        (Shape("capsule", (0.02, 0.03), HERE), 0.05),
        (Shape("ellipsoid", (0.03, 0.02, 0.01), HERE), 0.01),
    ],
    ids=lambda x: getattr(x, "kind", None),
)
def test_what_is_let_go_comes_to_lie_on_its_underside(shape, height) -> None:
    begin = np.array([0.3, 0.4, height + 0.001, 0, 0, 0, 1.0])
    end = thing(shape, begin)
    assert end[2] == pytest.approx(height, abs=0.0006)
    assert end[:2] == pytest.approx(begin[:2], abs=0.002)


def test_a_shape_that_nobody_knows_is_refused() -> None:
    with pytest.raises(BadOption, match="ellipsoid"):
        thing(Shape("torus", (0.02,), HERE), np.array([0.3, 0.4, 0.1, 0, 0, 0, 1.0]))


def test_pads_and_table_rub_a_free_body_as_in_mujoco() -> None:
    """A pair rubs with the mean of both coefficients here, with the larger one there; pads always with their own."""
    task = PickPlace(FR3)
    duck = next(body for body in task.bodies if body.name == "duck").friction
    table = bodies.table(task).components[0].collision_shapes[0].physical_material.dynamic_friction
    assert (bodies.grip(task) + duck) / 2 == pytest.approx(1.0)
    assert (table + duck) / 2 == pytest.approx(0.6)


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_a_gripped_duck_stays_in_the_grip(robot) -> None:
    """Lifted, carried sideways for 3 s: it neither slips nor swings round."""
    env = gym.make("User/PickPlace-maniskill-v0", robot=robot, turn=0.0, spread=0.0)
    x, y, _ = env.unwrapped.spec_of_robot.work_point
    duck = np.array([x, y - 0.065, SITS])
    env.reset(seed=0, options={"tcp": [*duck, 0, 0, 0]})
    for _ in range(12):
        env.step(np.array([0, 0, 0, 0, 0, 0, -1], np.float32))
    assert float(env.unwrapped.state.gripper) * env.unwrapped.spec_of_robot.gripper.width == pytest.approx(
        2 * BODY[1], abs=2e-3
    )
    held = env.unwrapped.scene.pose("duck") - np.append(env.unwrapped.state.tcp[:3], [0, 0, 0, 0])
    for k in range(30):
        env.step(np.array([0, 0.5 * (k > 10), 0.7 * (k <= 10), 0, 0, 0, -1], np.float32))
    after = env.unwrapped.scene.pose("duck") - np.append(env.unwrapped.state.tcp[:3], [0, 0, 0, 0])
    assert env.unwrapped.scene.pose("duck")[2] > 0.05
    assert np.abs(after - held)[:3].max() < 0.004
    assert np.abs(after - held)[3:].max() < 0.1
    weight = env.unwrapped.state.wrench[2]
    assert weight == pytest.approx(-MASS * 9.81, abs=0.25 if robot == "franka-fr3" else 4.0)


@pytest.mark.parametrize("options", [{"obs": "pixels"}, {"render_mode": "rgb_array"}], ids=str)
def test_a_picture_is_refused_with_what_to_use_instead(options) -> None:
    env = gym.make("User/PegInsert-maniskill-v0", **options)
    with pytest.raises(MissingSystem, match=r"cannot render here.*User/PegInsert-sim-v0"):
        env.reset(seed=0)
    env.close()
    with pytest.raises(MissingSystem, match="cannot render here"):
        gym.make_vec("User/PegInsert-maniskill-v0", 2, **options).reset(seed=0)


@pytest.mark.parametrize("options", [{"dt": 0.003}, {"dt": 0.01}, {"randomise": "all"}, {"device": "cuda"}], ids=str)
def test_an_option_it_has_not_is_refused(options) -> None:
    with pytest.raises(BadOption):
        gym.make("User/PegInsert-maniskill-v0", **options)


def test_importing_it_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(user_gym.sim.maniskill)


def test_dry_friction_holds_then_slides_and_creeps() -> None:
    rest, most, dt = np.zeros(1), np.array([0.3]), 0.004
    friction = DryFriction(most, rest, dt)
    assert friction.torque(rest + BRISTLE / 2) == pytest.approx(-0.15)
    assert friction.torque(rest + 1.0) == pytest.approx(-0.3)  # sliding forwards
    assert friction.torque(rest - 1.0) == pytest.approx(0.3)  # and back
    held = [float(friction.torque(rest - 1.0)[0]) for _ in range(250)]
    assert held[-1] < 0.001  # it gives way to a load that lasts
    assert np.all(np.diff(held) < 0)


def test_a_force_is_clipped_along_its_own_axes() -> None:
    """Position along the base's axes, rotation along the ordered orientation's."""
    law, now = Impedance(FR3, FR3.compliance), kinematics.linearise(FR3, FR3.home)
    tcp = kinematics.forward(FR3, FR3.home)
    chart = pose.to_chart(tcp)
    law.order(chart + [0.5, 0.001, 0, 0, 0, 0])
    torque = law.torque(now, np.zeros(7))
    wrench = np.linalg.lstsq(now.jacobian.T, torque, rcond=None)[0]
    assert wrench == pytest.approx([6.0, 2.0, 0, 0, 0, 0], abs=1e-6)
    law.order(chart + [0, 0, 0, 0, 0, 0.01])
    assert np.linalg.lstsq(now.jacobian.T, law.torque(now, np.zeros(7)), rcond=None)[0][5] == pytest.approx(1.5, abs=0.01)


def test_arms_on_threads_of_their_own_do_what_a_batch_does() -> None:
    """Each scene has its own arm's gravity, whoever builds one at the same time."""
    independent, batch = (gym.make_vec("User/PegInsert-maniskill-v0", 3, independent=own) for own in (True, False))
    actions = np.full(batch.action_space.shape, 0.3, np.float32)
    for env in (independent, batch):
        env.reset(seed=2)
    for _ in range(3):
        a, b = independent.step(actions)[0]["state"], batch.step(actions)[0]["state"]
    assert np.array_equal(a, b)
    for env in (independent, batch):
        env.close()
