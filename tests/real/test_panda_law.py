"""The FER's impedance law: torques against closed forms. No robot, no vendor."""

from types import SimpleNamespace

import numpy as np
import pytest

from user_gym.core import Compliance
from user_gym.real.franka.panda_board import Board
from user_gym.real.franka.panda_law import Law, rotation, sample
from user_gym.robots import kinematics, pose, specs

FER = specs.SPECS["franka-fer"]
REST = FER.home + [0.1, 0.05, -0.1, 0.1, 0.1, -0.05, 0.3]
CORIOLIS = np.arange(7.0) * 0.1


def state(q=REST, dq=(0.0,) * 7, tick=0, force=(0.0,) * 6):
    return SimpleNamespace(
        time=SimpleNamespace(to_msec=lambda: tick), q=list(q), dq=list(dq), tau_J=[0.0] * 7, O_F_ext_hat_K=list(force)
    )


def twice(**given):
    """A state as the vendor has it, and as the law has it."""
    now = state(**given)
    return now, sample(now)


def law(control="tcp"):
    model = SimpleNamespace(coriolis=lambda _: CORIOLIS)
    return Law(FER, control, FER.compliance, model, lambda torque: SimpleNamespace(torque=np.array(torque)), REST)


def force_of(torque, q=REST):
    """The wrench (6,) at the TCP that these torques (7,) make, base axes."""
    return np.linalg.lstsq(kinematics.jacobian(FER, q).T, torque - CORIOLIS, rcond=None)[0]


def test_the_first_order_is_where_the_arm_rests():
    np.testing.assert_allclose(law()(*twice()).torque, CORIOLIS, atol=1e-9)


@pytest.mark.parametrize("axis", range(3))
def test_force_is_stiffness_times_error_up_to_the_clip(axis):
    subject, target = law(), pose.to_chart(kinematics.forward(FER, REST))
    for error, expected in ((0.001, 2.0), (1.0, [6.0, 6.0, 20.0][axis]), (-1.0, [-6.0, -6.0, -20.0][axis])):
        order = target.copy()
        order[axis] += error
        subject.follow(order)
        np.testing.assert_allclose(force_of(subject(*twice()).torque), np.eye(6)[axis] * expected, atol=1e-6)


def test_torque_is_clipped_along_the_ordered_orientations_axes():
    subject, target = law(), kinematics.forward(FER, REST)
    order = target.copy()
    order[3:] = pose.multiply(target[3:], pose.exp(np.array([0.5, 0.01, 0.0])))  # about the tool's own axes
    subject.follow(pose.to_chart(order))
    error = pose.log(pose.multiply(pose.conjugate(target[3:]), order[3:]))
    expected = pose.rotate(order[3:], 150.0 * np.clip(error, -0.02, 0.02))
    np.testing.assert_allclose(force_of(subject(*twice()).torque)[3:], expected, atol=1e-6)


def test_damping_acts_on_the_tools_velocity():
    dq = np.linspace(-0.05, 0.05, 7)
    force = force_of(law()(*twice(dq=dq)).torque)
    np.testing.assert_allclose(force, -FER.compliance.damping * (kinematics.jacobian(FER, REST) @ dq), atol=1e-6)


def test_the_posture_term_pulls_the_elbow_back_without_a_force_at_the_tool():
    q = REST + [0.0, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0]
    subject = law()
    subject.follow(pose.to_chart(kinematics.forward(FER, q)))
    torque = subject(*twice(q=q)).torque - CORIOLIS
    assert torque[2] < -0.1
    np.testing.assert_allclose(force_of(torque + CORIOLIS, q), 0.0, atol=1e-6)


def test_joint_control_is_a_spring_and_a_damper_per_joint():
    subject = law("joint")
    subject.follow(REST + 0.1)
    dq = np.full(7, 0.01)
    np.testing.assert_allclose(
        subject(*twice(dq=dq)).torque - CORIOLIS, FER.joint_stiffness * 0.1 - FER.joint_damping * 0.01, atol=1e-9
    )


def test_a_stop_ramps_the_torque_down_and_ends_at_rest():
    subject, order = law(), pose.to_chart(kinematics.forward(FER, REST))
    order[2] -= 1.0
    subject.follow(order)
    first = subject(*twice()).torque
    subject.stopping = True
    answers = [subject(*twice(tick=i)) for i in range(200)]
    np.testing.assert_allclose(answers[99].torque, first / 2, atol=1e-9)
    assert [answer.motion_finished for answer in answers] == [False] * 199 + [True]
    np.testing.assert_allclose(answers[-1].torque, 0.0, atol=1e-12)


def test_a_stop_ends_even_where_the_arm_is_pushed():
    subject = law()
    subject(*twice())
    subject.stopping = True
    answers = [subject(*twice(dq=np.full(7, 0.5))) for _ in range(1000)]
    assert [answer.motion_finished for answer in answers] == [False] * 999 + [True]


def test_the_mean_force_is_that_of_the_ticks_since_the_last_look():
    board = Board()
    for i in range(4):
        board.publish(sample(state(tick=i, force=[i, 0, 0, 0, 0, 0])))
    newest, force = board.look()
    assert newest.tick == 3
    assert force[0] == 1.5
    np.testing.assert_allclose(newest.q, REST)
    board.publish(sample(state(tick=4, force=[7, 0, 0, 0, 0, 0])))
    assert board.look()[1][0] == 7.0


def test_a_law_hears_of_orders_compliance_and_stops_through_the_board():
    board, subject = Board(), law()
    board.clear(FER.compliance)
    board.steer(subject, 6)
    np.testing.assert_allclose(subject(*twice()).torque, CORIOLIS, atol=1e-9)
    order = pose.to_chart(kinematics.forward(FER, REST))
    order[2] += 0.005
    board.follow(order)
    board.steer(subject, 6)
    assert force_of(subject(*twice()).torque)[2] == pytest.approx(10.0)
    board.comply(Compliance(FER.compliance.stiffness / 2, FER.compliance.damping, FER.compliance.error_clip))
    board.steer(subject, 6)
    assert force_of(subject(*twice()).torque)[2] == pytest.approx(5.0)
    board.stop()
    board.steer(subject, 6)
    assert subject.stopping


def test_the_next_motion_on_a_board_begins_without_an_order_whatever_the_last_one_left():
    board, order = Board(), pose.to_chart(kinematics.forward(FER, REST)) + [0.0, 0.0, 0.005, 0.0, 0.0, 0.0]
    for unread in (False, True):
        board.clear(FER.compliance)
        subject = law()
        board.steer(subject, 6)
        np.testing.assert_allclose(subject(*twice()).torque, CORIOLIS, atol=1e-9)
        board.follow(order)
        board.steer(subject, 6)
        assert force_of(subject(*twice()).torque)[2] == pytest.approx(10.0)
        if unread:
            board.follow(order)
        board.stop()
    board.clear(FER.compliance)
    subject = law()
    board.steer(subject, 6)
    assert not subject.stopping
    np.testing.assert_allclose(subject(*twice()).torque, CORIOLIS, atol=1e-9)


def test_the_fast_rotation_vector_is_the_slow_one():
    rng = np.random.default_rng(0)
    for size in (1.0, 1e-3, 1e-9, 0.0):
        turn = rng.uniform(-1, 1, 3) * size
        np.testing.assert_allclose(rotation(pose.matrix(pose.exp(turn))), turn, atol=1e-12)
