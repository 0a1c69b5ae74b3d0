from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from user_gym.core import Command, RobotState, Workspace
from user_gym.errors import BadAction, BadOption, RobotFault
from user_gym.robots import kinematics, pose, safety
from user_gym.robots.specs import SPECS, spec

settings.register_profile("robots", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("robots")

FRANKA = spec("franka-fr3")
PERIOD = 0.1
BOX = Workspace(np.array([0.25, -0.05, 0.05, -0.01, -0.01, -0.5]), np.array([0.35, 0.05, 0.5, 0.01, 0.01, 0.5]))
LIMITS = safety.limits(FRANKA, BOX, PERIOD)
INSIDE = np.array([0.30, 0.0, 0.2, 0, 0, 0.1])


def measured(tcp=INSIDE, q=FRANKA.home):
    tcp, q = np.array(tcp, float), np.array(q, float)
    nothing = np.zeros_like(tcp)
    return RobotState(0.0, q, np.zeros_like(q), np.zeros_like(q), tcp, nothing, nothing, np.zeros(tcp.shape[:-1]))


def clamp_tcp(target, state=None, limits=LIMITS, arm=FRANKA):
    return safety.clamp(Command(0.0, np.asarray(target, float)), state or measured(), limits, arm)


def clamp_joints(target, state=None, limits=LIMITS, arm=FRANKA):
    return safety.clamp(Command(0.0, None, np.asarray(target, float)), state or measured(), limits, arm)


def at(q, arm=FRANKA):
    """The state of an arm that really is at these joints, and limits that do not bind its TCP."""
    tcp = pose.to_chart(kinematics.forward(arm, q))
    wide = Workspace(np.full(6, -4.0), np.full(6, 4.0))
    return measured(tcp, q), safety.limits(arm, wide, PERIOD)


def test_limits_are_speed_times_period_and_joints_less_the_margin():
    np.testing.assert_allclose(LIMITS.step, [0.025] * 3 + [0.125] * 3)
    np.testing.assert_allclose(LIMITS.q_low, FRANKA.q_min + 0.02)
    np.testing.assert_allclose(LIMITS.q_high, FRANKA.q_max - 0.02)
    np.testing.assert_array_equal(LIMITS.joint_step, safety.JOINT_STEP)
    np.testing.assert_allclose(safety.limits(FRANKA, BOX, 0.001).joint_step, FRANKA.dq_max * 0.001)


@pytest.mark.parametrize("period", [0.0, -1.0, np.inf, np.nan])
def test_a_period_must_be_a_positive_time(period):
    with pytest.raises(BadOption, match="period"):
        safety.limits(FRANKA, BOX, period)


@pytest.mark.parametrize("low", [BOX.high + 0.1, np.full(6, np.nan), np.zeros(5)])
def test_a_box_must_have_an_inside(low):
    with pytest.raises(BadOption, match="workspace"):
        safety.limits(FRANKA, replace(BOX, low=low), PERIOD)


def test_an_allowed_order_passes_bit_by_bit():
    target = INSIDE + np.array([0.02, -0.02, 0.02, 0.003, 0, 0.1])
    safe, clipped = clamp_tcp(target)
    assert safe.tcp.tobytes() == target.tobytes()
    assert not clipped
    safe, clipped = clamp_joints(FRANKA.home + 0.001)
    assert safe.joints.tobytes() == (FRANKA.home + 0.001).tobytes()
    assert not clipped


@pytest.mark.parametrize("axis", range(6))
@pytest.mark.parametrize("sign", [-1, 1])
def test_no_order_leaves_the_box(axis, sign):
    edge = (BOX.high if sign > 0 else BOX.low)[axis]
    here = INSIDE.copy()
    here[axis] = edge - sign * 1e-3
    target = here.copy()
    target[axis] += sign * 2e-3
    safe, clipped = clamp_tcp(target, measured(here))
    assert safe.tcp[axis] == edge
    assert clipped


@pytest.mark.parametrize("axis", range(6))
@pytest.mark.parametrize("sign", [-1, 1])
def test_no_order_is_farther_than_a_step(axis, sign):
    open_box = safety.limits(FRANKA, Workspace(np.full(6, -4.0), np.full(6, 4.0)), PERIOD)
    target = INSIDE.copy()
    target[axis] += sign * 1.0
    safe, clipped = clamp_tcp(target, limits=open_box)
    np.testing.assert_allclose(safe.tcp[axis] - INSIDE[axis], sign * open_box.step[axis])
    assert clipped


def test_an_arm_outside_the_box_comes_back_step_by_step():
    here = INSIDE + np.array([0.2, 0, 0, 0, 0, 0])
    distances = []
    for _ in range(8):
        here = clamp_tcp(here, measured(here))[0].tcp
        distances.append(here[0] - BOX.high[0])
    np.testing.assert_allclose(distances, [0.125, 0.1, 0.075, 0.05, 0.025, 0, 0, 0], atol=1e-12)


charts = arrays(float, 6, elements=st.floats(-2, 2))


@given(charts, charts)
def test_the_order_is_in_the_box_or_nearer_to_it_and_within_a_step(target, here):
    safe, clipped = clamp_tcp(target, measured(here))

    def outside(chart):
        return np.maximum(np.maximum(BOX.low - chart, chart - BOX.high), 0)

    assert np.all((outside(safe.tcp) == 0) | (outside(safe.tcp) < outside(here)))
    assert np.all(np.abs(safe.tcp - here) <= LIMITS.step + 1e-12)
    assert clipped == np.any(safe.tcp != target)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_gripper_stays_between_closed_and_open(value):
    safe, clipped = safety.clamp(Command(value, INSIDE), measured(), LIMITS, FRANKA)
    assert safe.gripper == min(max(value, 0.0), 1.0)
    assert clipped == (safe.gripper != value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_name(bad):
    target, joints = INSIDE.copy(), FRANKA.home.copy()
    target[2] = joints[3] = bad
    with pytest.raises(BadAction, match=rf"order tcp\[2\] is {bad}"):
        clamp_tcp(target)
    with pytest.raises(BadAction, match=rf"order joints\[3\] is {bad}"):
        clamp_joints(joints)
    with pytest.raises(BadAction, match=f"order gripper is {bad}"):
        safety.clamp(Command(bad, INSIDE), measured(), LIMITS, FRANKA)
    with pytest.raises(RobotFault, match=rf"measured tcp\[2\] is {bad}"):
        clamp_tcp(INSIDE, measured(tcp=target))
    with pytest.raises(RobotFault, match=rf"measured joints\[3\] is {bad}"):
        clamp_tcp(INSIDE, measured(q=joints))
    with pytest.raises(BadAction, match=rf"order tcp\[1, 2\] is {bad}"):
        clamp_tcp(np.stack([INSIDE, target]), measured(np.stack([INSIDE] * 2), np.stack([FRANKA.home] * 2)))


def test_an_order_is_of_one_kind_and_of_the_states_shape():
    for order in (Command(0.0), Command(0.0, INSIDE, FRANKA.home)):
        with pytest.raises(BadAction, match="exactly one of tcp and joints"):
            safety.clamp(order, measured(), LIMITS, FRANKA)
    with pytest.raises(BadAction, match=r"shape \(5,\); allowed: \(6,\)"):
        clamp_tcp(INSIDE[:5])


@pytest.mark.parametrize("arm", SPECS.values(), ids=list(SPECS))
@pytest.mark.parametrize("beyond", [0.0, 0.05])
@pytest.mark.parametrize("side", [-1, 1])
def test_no_order_pushes_a_joint_into_its_stop(arm, side, beyond):
    for joint in range(arm.dof):
        q = 0.9 * arm.home + 0.1 * (arm.q_min + arm.q_max) / 2 + 0.05
        q[joint] = arm.q_max[joint] - 0.02 + beyond if side > 0 else arm.q_min[joint] + 0.02 - beyond
        state, limits = at(q, arm)
        # Of the pose's six directions, take the one that the least squares would answer by moving this joint outwards.
        jacobian = kinematics.jacobian(arm, q)
        move = np.linalg.pinv(jacobian)[joint]
        move = side * 0.01 * move / np.abs(move).max()

        def target(sign, move=move, state=state):
            turn = pose.multiply(pose.exp(sign * move[3:]), pose.from_chart(state.tcp)[3:])
            return pose.to_chart(np.concatenate([state.tcp[:3] + sign * move[:3], turn]))

        safe, clipped = clamp_tcp(target(1), state, limits, arm)
        assert clipped, joint
        assert safe.tcp.tolist() == state.tcp.tolist()
        safe, clipped = clamp_tcp(target(-1), state, limits, arm)
        assert safe.tcp.tolist() != state.tcp.tolist(), joint  # back from the stop is allowed


def test_a_joint_just_inside_its_margin_is_free():
    q = FRANKA.home.copy()
    q[5] = FRANKA.q_max[5] - 0.021
    state, limits = at(q)
    assert not clamp_tcp(state.tcp + np.array([0, 0, 0.01, 0, 0, 0]), state, limits)[1]


@pytest.mark.parametrize("joint", range(7))
@pytest.mark.parametrize("sign", [-1, 1])
def test_joint_orders_keep_margin_and_step(joint, sign):
    state, limits = at(FRANKA.home)
    target = FRANKA.home.copy()
    target[joint] += sign * 10
    safe, clipped = clamp_joints(target, state, limits)
    edge = limits.q_high[joint] if sign > 0 else limits.q_low[joint]
    step = min(limits.joint_step[joint], abs(edge - FRANKA.home[joint]))
    np.testing.assert_allclose(safe.joints[joint] - FRANKA.home[joint], sign * step)
    assert clipped
    near = FRANKA.home.copy()
    near[joint] = edge - sign * 1e-3
    state, limits = at(near)
    safe, clipped = clamp_joints(near + sign * 2e-3 * np.eye(7)[joint], state, limits)
    assert safe.joints[joint] == edge
    assert clipped


def test_joint_orders_keep_the_tcp_in_the_box_or_bring_it_nearer():
    q = FRANKA.home
    here = kinematics.position(FRANKA, q)
    margin = np.array([0.5, 0.5, 0.001, 3, 3, 3])
    centre = np.concatenate([here, np.zeros(3)])
    limits = safety.limits(FRANKA, Workspace(centre - margin, centre + margin), PERIOD)
    down, up = q.copy(), q.copy()
    down[1] += 0.05
    up[1] -= 0.05
    for target in (down, up):
        safe, clipped = clamp_joints(target, limits=limits)
        assert safe.joints.tolist() == q.tolist()
        assert clipped
    above = safety.limits(FRANKA, Workspace(centre + margin, centre + 3 * margin), PERIOD)  # the arm is below this box
    assert clamp_joints(down, limits=above)[1]
    raised = q - [0, 0.003, 0, 0, 0, 0, 0]
    lifted = kinematics.position(FRANKA, raised)
    assert lifted[2] > here[2]
    box = Workspace(np.r_[lifted[:2] - 0.1, lifted[2] + 0.01, -3, -3, -3], np.r_[lifted[:2] + 0.1, 1.0, 3, 3, 3])
    assert not clamp_joints(raised, limits=safety.limits(FRANKA, box, PERIOD))[1]


@pytest.mark.parametrize("kind", ["tcp", "joints"])
def test_a_row_of_a_batch_is_bitwise_the_arm_alone(kind):
    rng = np.random.default_rng(3)
    n = 41
    q = np.clip(FRANKA.home + rng.normal(scale=0.4, size=(n, 7)), FRANKA.q_min, FRANKA.q_max)  # many at a stop
    tcp = pose.to_chart(kinematics.forward(FRANKA, q))
    state = measured(tcp, q)
    gripper = rng.uniform(-0.5, 1.5, n)
    width = 6 if kind == "tcp" else 7
    target = (tcp if kind == "tcp" else q) + rng.normal(scale=0.03, size=(n, width))
    centre = np.array([0.4, 0, 0.5, 0, 0, 0])
    reach = np.array([0.3, 0.3, 0.3, 3, 3, 3])
    limits = safety.limits(FRANKA, Workspace(centre - reach, centre + reach), PERIOD)
    whole = safety.clamp(Command(gripper, **{kind: target}), state, limits, FRANKA)
    assert 3 < np.sum(whole.clipped) <= n
    held = np.all(getattr(whole.command, kind) == (tcp if kind == "tcp" else q), axis=-1)
    assert 0 < np.sum(held) < n  # the rare branches were taken by some rows
    for i in range(n):
        alone = safety.clamp(Command(float(gripper[i]), **{kind: target[i]}), measured(tcp[i], q[i]), limits, FRANKA)
        assert getattr(alone.command, kind).tobytes() == getattr(whole.command, kind)[i].tobytes()
        assert alone.command.gripper == whole.command.gripper[i]
        assert bool(alone.clipped) == bool(whole.clipped[i])


def test_the_order_itself_is_never_written():
    target, here = INSIDE + 1.0, measured()
    target.flags.writeable = here.tcp.flags.writeable = here.q.flags.writeable = False
    assert clamp_tcp(target, here)[0].tcp is not target
    with pytest.raises(ValueError, match="read-only"):
        target[0] = 0.0


@pytest.mark.parametrize("arm", SPECS.values(), ids=list(SPECS))
@pytest.mark.parametrize("gap", [0.0, 0.001, 0.02, 0.1])
def test_no_single_order_takes_a_joint_past_its_margin(arm, gap):
    rng = np.random.default_rng(0)
    shortened = 0
    for _ in range(40):
        q = arm.home + rng.uniform(-0.1, 0.1, arm.dof)
        joint, high = rng.integers(arm.dof), rng.random() < 0.5
        q[joint] = arm.q_max[joint] - arm.joint_margin - gap if high else arm.q_min[joint] + arm.joint_margin + gap
        state, limits = at(q, arm)
        safe, clipped = clamp_tcp(state.tcp + rng.choice([-1.0, 1.0], 6) * limits.step, state, limits, arm)
        # Where the joints would end, by the pseudo-inverse of a Jacobian from finite differences.
        base = pose.to_chart(kinematics.forward(arm, q))
        columns = [(pose.to_chart(kinematics.forward(arm, q + 1e-6 * e)) - base) / 1e-6 for e in np.eye(arm.dof)]
        jacobian = np.stack(columns, axis=-1)
        if np.linalg.svd(jacobian, compute_uv=False).min() < 0.1:
            continue  # near a singular pose no first-order answer is the right one
        reached = q + np.linalg.pinv(jacobian) @ (safe.tcp - state.tcp)
        slack = 0.01  # rad: damped against undamped least squares
        assert (reached <= np.maximum(limits.q_high, q) + slack).all(), reached - limits.q_high
        assert (reached >= np.minimum(limits.q_low, q) - slack).all(), limits.q_low - reached
        shortened += bool(clipped)
    assert shortened
