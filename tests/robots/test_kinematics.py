import numpy as np
import pytest

from user_gym.robots import kinematics, pose
from user_gym.robots.specs import SPECS, spec

READY = np.array([0, -np.pi / 4, 0, -3 * np.pi / 4, 0, np.pi / 2, np.pi / 4])
# Franka's published table, modified (Craig) DH: a, d, alpha.
DH = [
    (0, 0.333, 0),
    (0, 0, -np.pi / 2),
    (0, 0.316, np.pi / 2),
    (0.0825, 0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2),
    (0, 0, np.pi / 2),
    (0.088, 0, np.pi / 2),
]


def craig(a, d, alpha, theta):
    ca, sa, ct, st = np.cos(alpha), np.sin(alpha), np.cos(theta), np.sin(theta)
    return np.array([[ct, -st, 0, a], [st * ca, ct * ca, -sa, -d * sa], [st * sa, ct * sa, ca, d * ca], [0, 0, 0, 1]])


def franka_by_dh(q):
    frame = np.eye(4)
    for (a, d, alpha), theta in zip(DH, q, strict=True):
        frame = frame @ craig(a, d, alpha, theta)
    return frame @ craig(0, 0.107, 0, -np.pi / 4) @ craig(0, 0.1034, 0, 0)  # flange, hand, TCP


def random_joints(arm, n, seed=0):
    return np.random.default_rng(seed).uniform(arm.q_min, arm.q_max, (n, arm.dof))


@pytest.mark.parametrize("name", ["franka-fr3", "franka-fer"])
def test_franka_agrees_with_its_published_dh_table(name):
    arm = spec(name)
    for q in random_joints(arm, 50):
        tool, frame = kinematics.forward(arm, q), franka_by_dh(q)
        np.testing.assert_allclose(tool[:3], frame[:3, 3], atol=1e-14)
        np.testing.assert_allclose(pose.matrix(tool[3:]), frame[:3, :3], atol=1e-14)
        np.testing.assert_allclose(kinematics.position(arm, q), frame[:3, 3], atol=1e-14)


def test_franka_is_tool_down_at_its_ready_pose():
    tool = kinematics.forward(spec("franka-fr3"), READY)
    np.testing.assert_allclose(tool, [0.306891, 0, 0.486882, 1, 0, 0, 0], atol=1e-6)


@pytest.mark.parametrize(("name", "point"), [("arx-x5", (0.2402, 0.001, 0.1565)), ("arx-l5", (0.2527, 0, 0.1635))])
def test_arx_agrees_with_the_vendors_solver_at_zero(name, point):
    tool = kinematics.forward(spec(name), np.zeros(6))
    np.testing.assert_allclose(tool[:3], point, atol=1e-4)
    # The vendor reports roll = pitch = yaw = 0: its x leaves the tool, which is our z; fingers move along y in both.
    np.testing.assert_allclose(pose.matrix(tool[3:]) @ [0, 0, 1], [1, 0, 0], atol=2e-5)
    np.testing.assert_allclose(np.abs(pose.matrix(tool[3:]) @ [0, 1, 0]), [0, 1, 0], atol=2e-5)


@pytest.mark.parametrize("name", SPECS)
def test_the_jacobian_is_the_derivative_of_the_pose(name):
    arm, step = spec(name), 1e-6
    for q in random_joints(arm, 10, seed=1):
        got, want = kinematics.jacobian(arm, q), np.empty((6, arm.dof))
        for i, one in enumerate(np.eye(arm.dof) * step):
            ahead, behind = kinematics.forward(arm, q + one), kinematics.forward(arm, q - one)
            want[:3, i] = (ahead - behind)[:3] / (2 * step)
            want[3:, i] = pose.log(pose.multiply(ahead[3:], pose.conjugate(behind[3:]))) / (2 * step)
        np.testing.assert_allclose(got, want, atol=1e-8)


@pytest.mark.parametrize("name", SPECS)
def test_a_row_of_a_batch_is_bitwise_the_arm_alone(name):
    arm = spec(name)
    q = random_joints(arm, 19, seed=2)
    for function in (kinematics.forward, kinematics.position, kinematics.jacobian):
        whole = function(arm, q)
        assert whole.tobytes() == np.stack([function(arm, row) for row in q]).tobytes(), function.__name__
        assert function(arm, q[None]).tobytes() == whole.tobytes()


@pytest.mark.parametrize("name", sorted(SPECS))
def test_the_fast_form_for_one_configuration_says_the_same(name: str) -> None:
    arm = spec(name)
    for q in np.random.default_rng(0).uniform(arm.q_min, arm.q_max, (20, arm.dof)):
        tool, fast = kinematics.forward(arm, q), kinematics.linearise(arm, q)
        np.testing.assert_allclose(fast.point, tool[:3], atol=1e-12)
        np.testing.assert_allclose(fast.turn, pose.matrix(tool[3:]), atol=1e-12)
        np.testing.assert_allclose(fast.jacobian, kinematics.jacobian(arm, q), atol=1e-12)
