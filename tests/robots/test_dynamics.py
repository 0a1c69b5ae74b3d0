import mujoco
import numpy as np
import pytest

from user_gym.errors import BadOption
from user_gym.robots import dynamics, registry, specs
from user_gym.robots.dynamics import Payload
from user_gym.sim.plant import compile_plant
from user_gym.testing.bench import Bench

FINGERS = {"franka": Payload(0.06, 0.0, 0.0, -0.02), "arx": dynamics.NOTHING}  # an ARX's last link has its hand in it


@pytest.mark.parametrize("robot", ["arx-x5", "arx-l5", "franka-fr3"])
def test_gravity_equals_mujocos_in_200_random_postures(robot):
    spec = specs.spec(robot)
    model = compile_plant(spec, Bench(spec), "motors", 0.001).model
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    model.dof_frictionloss[:] = 0
    for _ in range(200):
        data.qpos[: spec.dof] = rng.uniform(spec.q_min, spec.q_max)
        data.qvel[:] = 0
        mujoco.mj_forward(model, data)
        expected = data.qfrc_bias[: spec.dof]
        assert np.abs(dynamics.gravity(spec, data.qpos[: spec.dof].copy(), FINGERS[spec.family]) - expected).max() < 1e-12


def test_a_payload_weighs_as_a_body_in_the_tool_does():
    spec = specs.spec("arx-x5")
    model = compile_plant(spec, registry.make_task("PegInsert", spec), "motors", 0.001).model
    data = mujoco.MjData(model)
    data.qpos[:6] = spec.home
    mujoco.mj_forward(model, data)
    peg = Payload(0.05, 0.0, 0.0, 0.019)
    assert dynamics.gravity(spec, spec.home, peg) == pytest.approx(data.qfrc_bias[:6], abs=1e-12)
    assert np.abs(dynamics.gravity(spec, spec.home) - data.qfrc_bias[:6]).max() > 0.05


def test_what_a_task_holds_is_its_payload():
    spec = specs.spec("arx-x5")
    assert dynamics.held(registry.make_task("PegInsert", spec)) == pytest.approx((0.05, 0.0, 0.0, 0.019))
    assert dynamics.held(Bench(spec)) == dynamics.NOTHING


def test_an_upright_arm_without_levers_needs_no_torque_about_a_vertical_axis():
    spec = specs.spec("arx-l5")
    assert dynamics.gravity(spec, spec.home)[0] == 0.0


def test_gravity_is_the_gradient_of_the_potential_energy():
    spec = specs.spec("arx-x5")
    q, carried, step = spec.home + 0.1, Payload(0.3, 0.01, -0.02, 0.03), 1e-6
    from user_gym.robots import kinematics

    def energy(q):
        points, turns = kinematics.links(spec, q)
        masses = [*spec.link_mass[1:], carried.mass]
        centres = [*spec.link_com[1:], np.array(carried[1:])]
        return sum(m * spec.gravity * (p + t @ c)[2] for m, p, t, c in zip(masses, points, turns, centres, strict=True))

    slope = [(energy(q + step * e) - energy(q - step * e)) / (2 * step) for e in np.eye(6)]
    assert dynamics.gravity(spec, q, carried) == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("bad", [(1.0,), (-0.1, 0, 0, 0), (np.nan, 0, 0, 0), (0.1, 0, 0, np.inf)])
def test_a_payload_that_means_nothing_is_refused(bad):
    with pytest.raises(BadOption, match="payload"):
        dynamics.payload(bad)
