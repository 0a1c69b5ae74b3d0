import numpy as np
import pytest

from user_gym.errors import UnknownName
from user_gym.robots import kinematics, pose
from user_gym.robots.specs import SPECS, known, spec

every_arm = pytest.mark.parametrize("arm", SPECS.values(), ids=list(SPECS))


def test_the_four_arms_are_known_and_others_are_named():
    assert sorted(SPECS) == ["arx-l5", "arx-x5", "franka-fer", "franka-fr3"]
    assert set(SPECS) <= set(known())
    with pytest.raises(UnknownName, match=r"unknown robot 'frnka-fr3'; known: arx-l5, arx-x5.*did you mean 'franka-fr3'"):
        spec("frnka-fr3")


@every_arm
def test_shapes_fit_the_number_of_joints(arm):
    n = arm.dof
    for field in ("q_min", "q_max", "dq_max", "tau_max", "armature", "joint_stiffness", "joint_damping", "home"):
        assert getattr(arm, field).shape == (n,), field
    assert arm.joint_xyz.shape == arm.joint_rpy.shape == arm.joint_axis.shape == (n, 3)
    assert (arm.link_mass.shape, arm.link_com.shape, arm.link_inertia.shape) == ((n + 1,), (n + 1, 3), (n + 1, 6))
    assert arm.flange.shape == arm.tcp.shape == (7,)
    for unit in (arm.flange[3:], arm.tcp[3:], *(c.pose[3:] for c in arm.cameras), *arm.joint_axis):
        np.testing.assert_allclose(np.linalg.norm(unit), 1.0, atol=1e-12)
    for value in (arm.dq_max, arm.tau_max, arm.link_mass, arm.armature, arm.compliance.stiffness, arm.compliance.error_clip):
        assert np.all(value > 0)


@every_arm
def test_inertias_can_belong_to_a_body_or_are_only_slightly_off(arm):
    """Positive definite; the triangle inequality is left to the simulator's balance, as some published sets break it."""
    for xx, yy, zz, xy, xz, yz in arm.link_inertia[1:]:
        eigenvalues = np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        assert eigenvalues[0] > 0


@every_arm
def test_home_is_tool_down_and_away_from_every_limit(arm):
    room = np.minimum(arm.home - arm.q_min, arm.q_max - arm.home)
    assert room.min() > 0.1
    chart = pose.to_chart(kinematics.forward(arm, arm.home))
    np.testing.assert_allclose(chart[3:], 0, atol=1e-7)


@pytest.mark.parametrize("name", ["arx-x5", "arx-l5"])
def test_arx_home_is_above_its_work_point(name):
    arm = spec(name)
    np.testing.assert_allclose(kinematics.forward(arm, arm.home)[:3], arm.work_point + np.array([0, 0, 0.155]), atol=1e-7)


@every_arm
def test_the_peg_tasks_step_fits_the_speed_limit(arm):
    assert arm.tcp_speed[0] * 0.1 >= 0.02
    assert arm.tcp_speed[1] * 0.1 >= 0.1


@every_arm
def test_cameras_see_the_tool_and_the_work(arm):
    wrist, side = arm.cameras
    assert (wrist.name, wrist.mount, side.name, side.mount) == ("wrist", "tool", "side", "base")

    def sees(camera, point):
        seen = pose.rotate(pose.conjugate(camera.pose[3:]), np.asarray(point) - camera.pose[:3])
        assert seen[2] > 0.05
        assert np.all(np.abs(seen[:2] / seen[2]) < np.tan(camera.fovy / 2))

    for point in ([0, 0, 0], [0, 0.04, 0], [0, -0.04, 0], [0, 0, 0.05]):  # fingers, and a held object's tip
        sees(wrist, point)
    for point in ([0, 0, 0], [0.05, 0.05, 0], [-0.05, -0.05, 0], [0, 0, 0.15]):
        sees(side, arm.work_point + point)


def test_the_shared_arrays_cannot_be_written():
    arm = spec("franka-fr3")
    for array in (arm.home, arm.joint_xyz, arm.compliance.stiffness, arm.cameras[0].pose):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
