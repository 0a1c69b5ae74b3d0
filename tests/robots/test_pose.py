import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from user_gym.robots import pose

settings.register_profile("robots", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("robots")

number = st.floats(-1.7, 1.7, allow_subnormal=False)
vectors = arrays(float, 3, elements=number)
rotvecs = vectors.filter(lambda v: np.linalg.norm(v) < np.pi - 1e-3)


def skew(v):
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def by_series(v):
    """exp of the skew matrix by its power series: independent of quaternions."""
    total, term = np.eye(3), np.eye(3)
    for n in range(1, 60):
        term = term @ skew(v) / n
        total = total + term
    return total


def batch(rng, n=37):
    directions = rng.normal(size=(n, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    angles = np.concatenate([[0.0, 1e-200, 1e-12, 1e-6, np.pi - 1e-9, np.pi], rng.uniform(0, np.pi, n - 6)])
    turns = directions * angles[:, None]
    return np.concatenate([rng.normal(size=(n, 3)), turns], axis=-1)


@given(vectors)
def test_exp_is_the_exponential_of_the_skew_matrix(v):
    np.testing.assert_allclose(pose.matrix(pose.exp(v)), by_series(v), atol=1e-13)


@given(rotvecs)
def test_log_undoes_exp(v):
    np.testing.assert_allclose(pose.log(pose.exp(v)), v, atol=1e-13)
    np.testing.assert_allclose(pose.log(-pose.exp(v)), v, atol=1e-13)  # the same rotation


@pytest.mark.parametrize("angle", [1e-320, 1e-160, 1e-100, 1e-30, 1e-12, 1e-8, 1e-4])
def test_small_turns_keep_their_relative_precision(angle):
    v = np.array([0.6, 0.0, -0.8]) * angle
    np.testing.assert_allclose(pose.log(pose.exp(v)), v, rtol=1e-12, atol=1e-150)
    assert pose.exp(np.zeros(3)).tolist() == [0, 0, 0, 1]
    assert pose.log(np.array([0.0, 0, 0, 1])).tolist() == [0, 0, 0]


@pytest.mark.parametrize("short", [0.0, 1e-15, 1e-9, 1e-5])
def test_log_near_half_a_turn_is_the_shortest(short):
    v = np.array([0.6, 0.0, -0.8]) * (np.pi - short)
    got = pose.log(pose.exp(v))
    np.testing.assert_allclose(np.linalg.norm(got), np.pi - short, atol=1e-14)
    np.testing.assert_allclose(by_series(got), by_series(v), atol=1e-12)
    beyond = pose.log(pose.exp(np.array([0.0, 0.0, np.pi + 1e-3])))
    np.testing.assert_allclose(beyond, [0, 0, -np.pi + 1e-3], atol=1e-12)


@given(vectors, vectors, vectors)
def test_multiply_and_rotate_agree_with_matrices(a, b, v):
    A, B = by_series(a), by_series(b)
    product = pose.multiply(pose.exp(a), pose.exp(b))
    np.testing.assert_allclose(pose.matrix(product), A @ B, atol=1e-13)
    np.testing.assert_allclose(pose.rotate(pose.exp(a), v), A @ v, atol=1e-13)
    np.testing.assert_allclose(pose.matrix(pose.conjugate(pose.exp(a))), A.T, atol=1e-13)


@given(rotvecs)
def test_from_matrix_undoes_matrix(v):
    q = pose.from_matrix(by_series(v))
    np.testing.assert_allclose(q, pose.exp(v), atol=1e-13)


def test_from_matrix_takes_half_turns_about_every_axis():
    for axis in np.eye(3):
        np.testing.assert_allclose(pose.from_matrix(by_series(np.pi * axis))[:3], axis, atol=1e-7)


@given(vectors, vectors, vectors, vectors)
def test_compose_and_inverse_agree_with_homogeneous_matrices(p, v, r, w):
    def homogeneous(a):
        out = np.eye(4)
        out[:3, :3], out[:3, 3] = pose.matrix(a[3:]), a[:3]
        return out

    a, b = np.concatenate([p, pose.exp(v)]), np.concatenate([r, pose.exp(w)])
    np.testing.assert_allclose(homogeneous(pose.compose(a, b)), homogeneous(a) @ homogeneous(b), atol=1e-13)
    np.testing.assert_allclose(homogeneous(pose.inverse(a)), np.linalg.inv(homogeneous(a)), atol=1e-12)


@given(vectors, rotvecs)
def test_the_chart_is_a_turn_of_tool_down_and_back(p, v):
    chart = np.concatenate([p, v])
    full = pose.from_chart(chart)
    np.testing.assert_allclose(pose.matrix(full[3:]), by_series(v) @ np.diag([1.0, -1.0, -1.0]), atol=1e-13)
    np.testing.assert_allclose(pose.to_chart(full), chart, atol=1e-13)


def test_yaw_is_the_last_number_of_the_chart():
    tool = pose.from_chart(np.array([0.5, 0, 0.1, 0, 0, 0.3]))
    np.testing.assert_allclose(pose.rotate(tool[3:], np.array([0.0, 0, 1])), [0, 0, -1], atol=1e-15)
    np.testing.assert_allclose(pose.rotate(tool[3:], np.array([1.0, 0, 0])), [np.cos(0.3), np.sin(0.3), 0], atol=1e-15)


@given(vectors)
def test_rpy_is_roll_then_pitch_then_yaw_about_fixed_axes(angles):
    x, y, z = (by_series(angle * axis) for angle, axis in zip(angles, np.eye(3), strict=True))
    np.testing.assert_allclose(pose.matrix(pose.rpy(angles)), z @ y @ x, atol=1e-13)


def test_wrap_keeps_the_angle_and_its_range():
    angles = np.linspace(-20, 20, 401)
    wrapped = pose.wrap(angles)
    assert np.all((wrapped >= -np.pi) & (wrapped < np.pi))
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * angles), atol=1e-12)


def test_a_camera_sees_its_target_in_the_middle_and_up_at_the_top():
    eye, target = np.array([1.0, 0.4, 0.7]), np.array([0.2, -0.1, 0.1])
    camera = pose.look_at(eye, target)
    seen = pose.rotate(pose.conjugate(camera[3:]), target - eye)
    np.testing.assert_allclose(seen, [0, 0, np.linalg.norm(target - eye)], atol=1e-12)
    assert pose.rotate(pose.conjugate(camera[3:]), np.array([0.0, 0, 1]))[1] < -0.5  # image y runs down
    np.testing.assert_allclose(np.linalg.det(pose.matrix(camera[3:])), 1.0)


def test_a_row_of_a_batch_is_bitwise_the_row_alone():
    charts = batch(np.random.default_rng(5))
    full = pose.from_chart(charts)
    other = np.roll(full, 3, axis=0)
    functions = [
        (pose.from_chart, (charts,)),
        (pose.to_chart, (full,)),
        (pose.compose, (full, other)),
        (pose.inverse, (full,)),
        (pose.exp, (charts[:, 3:],)),
        (pose.log, (full[:, 3:],)),
        (pose.multiply, (full[:, 3:], other[:, 3:])),
        (pose.rotate, (full[:, 3:], charts[:, :3])),
        (pose.rpy, (charts[:, 3:],)),
        (pose.matrix, (full[:, 3:],)),
        (pose.from_matrix, (pose.matrix(full[:, 3:]),)),
    ]
    for function, arguments in functions:
        whole = function(*arguments)
        alone = np.stack([function(*(a[i] for a in arguments)) for i in range(len(charts))])
        assert whole.tobytes() == alone.tobytes(), function.__name__
        deep = function(*(a.reshape(1, len(charts), *a.shape[1:]) for a in arguments))
        assert deep.tobytes() == whole.tobytes(), function.__name__
