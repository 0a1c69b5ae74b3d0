"""The URDF that clients get, against the simulator that stands behind it."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from user_gym.errors import BadOption
from user_gym.robots import franka, kinematics, urdf
from user_gym.robots.franka import FR3
from user_gym.sim.plant import compile_plant
from user_gym.tasks.peg_insert import PegInsert

TEXT = urdf.text(FR3, franka.VELOCITY["franka-fr3"])


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(TEXT)


def test_the_arm_ends_in_a_massless_link8(model) -> None:
    assert model.body(model.nbody - 1).name == "link8"
    assert model.body("link8").mass[0] == 0.0
    assert '<robot name="franka-fr3">' in TEXT  # a name that begins with tmr is a mobile base to libfranka


def test_its_flange_is_where_our_own_kinematics_have_it(model) -> None:
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    for _ in range(20):
        data.qpos[:] = rng.uniform(FR3.q_min, FR3.q_max)
        mujoco.mj_kinematics(model, data)
        tool = kinematics.forward(FR3, data.qpos.copy())
        turn = data.body("link8").xmat.reshape(3, 3)
        np.testing.assert_allclose(data.body("link8").xpos + turn @ FR3.tcp[:3], tool[:3], atol=1e-12)


def test_its_inertias_are_those_of_the_physics_but_for_hand_and_peg(model) -> None:
    plant = compile_plant(FR3, PegInsert(FR3), "motors", 0.001).model
    for i in range(1, 7):
        assert model.body(f"link{i}").mass[0] == plant.body(f"link{i}").mass[0]
        np.testing.assert_allclose(model.body(f"link{i}").inertia, plant.body(f"link{i}").inertia, rtol=1e-12)


def test_limits_are_written_as_libfranka_reads_them() -> None:
    assert '<limit lower="0.54092" upper="4.5205" velocity="4.18" effort="12.0"/>' in TEXT
    assert '<position_based_velocity_limits velocity_offset="0.2" deceleration_limit="2.585"/>' in TEXT


def test_a_table_of_another_size_is_refused() -> None:
    with pytest.raises(BadOption, match="velocity table"):
        urdf.text(FR3, np.zeros((6, 5)))
