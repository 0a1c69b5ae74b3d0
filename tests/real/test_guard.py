"""Each limit of the driver's process, one at a time."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.core import Command, RobotState, Workspace
from user_gym.errors import BadAction, BadOption, RobotFault, Stopped
from user_gym.interface import JOINT_STEP
from user_gym.real.guard import Guard, Thresholds
from user_gym.robots import collision, kinematics, pose, reach, safety, specs
from user_gym.testing.bench import PERIOD, Bench

SPEC = specs.spec("franka-fr3")
TASK = Bench(SPEC)
GUARD = Guard(SPEC, TASK.workspace, PERIOD, Thresholds())


def at(q, **measured) -> RobotState:
    tcp = pose.to_chart(kinematics.forward(SPEC, q))
    zero = np.zeros(SPEC.dof)
    state = RobotState(np.float64(0), q, zero, zero, tcp, np.zeros(6), np.zeros(6), np.float64(0))
    return replace(state, **measured)


STATE = at(reach.solve(SPEC, TASK.goal + [0, 0, 0.05, 0, 0, 0]))


def test_an_order_within_all_limits_passes_unchanged() -> None:
    order = STATE.tcp + [0.01, 0, 0, 0, 0, 0]
    safe, clipped = GUARD.allow(Command(0.0, order), STATE)
    assert np.array_equal(safe.tcp, order)
    assert not clipped


def test_an_order_out_of_the_box_is_brought_into_it() -> None:
    edge = at(reach.solve(SPEC, TASK.workspace.high - [0.001, 0.02, 0.05, 0.01, 0.01, 0.1]))
    safe, clipped = GUARD.allow(Command(0.0, edge.tcp + [0.02, 0, 0, 0, 0, 0]), edge)
    assert safe.tcp[0] == TASK.workspace.high[0]
    assert clipped


@pytest.mark.parametrize("jump", [[0.31, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1.6]])
def test_a_jump_of_the_tool_is_refused(jump) -> None:
    with pytest.raises(BadAction, match="jumps"):
        GUARD.allow(Command(0.0, STATE.tcp + jump), STATE)


def test_a_jump_of_a_joint_is_refused() -> None:
    with pytest.raises(BadAction, match="jumps"):
        GUARD.allow(Command(0.0, None, STATE.q + 0.6 * (np.arange(7) == 3)), STATE)


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_a_joint_order_goes_no_farther_than_an_action_of_one(robot) -> None:
    spec = specs.spec(robot)
    env = gymnasium.make("User/PegInsert-sim-v0", robot=robot, control="joint")
    env.reset(seed=0)
    core = env.unwrapped
    guard = Guard(spec, Workspace(np.full(6, -4.0), np.full(6, 4.0)), 1.0 / core.task.rate, Thresholds())
    for sign in (-1.0, 1.0):
        action = sign * np.eye(spec.dof)[-1]
        order, clipped = guard.allow(Command(0.0, None, core.state.q + 2 * JOINT_STEP * action), core.state)
        assert clipped
        np.testing.assert_allclose(order.joints - core.state.q, JOINT_STEP * action, atol=1e-12)
    env.close()


def test_an_order_that_is_not_finite_is_refused() -> None:
    with pytest.raises(BadAction):
        GUARD.allow(Command(0.0, np.full(6, np.inf)), STATE)


def test_what_is_within_the_thresholds_goes_on() -> None:
    GUARD.judge(replace(STATE, wrench=np.array([6.0, 6, 50, 3, 3, 3]), velocity=np.full(6, 0.4)))


@pytest.mark.parametrize(
    ("measured", "word"),
    [
        ({"wrench": np.array([0, 0, 61.0, 0, 0, 0])}, "contact force is 61 N"),
        ({"wrench": np.array([0, 0, 0, 16.0, 0, 0])}, "contact torque is 16 N m"),
        ({"velocity": np.array([0, -1.1, 0, 0, 0, 0])}, "speed of the tool"),
        ({"velocity": np.array([0, 0, 0, 0, 3.1, 0])}, "turn of the tool"),
        ({"dq": SPEC.dq_max * -1.01}, "speed of a joint"),
    ],
)
def test_more_than_a_threshold_stops_the_arm(measured, word) -> None:
    with pytest.raises(Stopped, match=word):
        GUARD.judge(replace(STATE, **measured))


@pytest.mark.parametrize("field", ["wrench", "velocity", "dq"])
def test_a_measurement_that_is_no_number_is_a_fault(field) -> None:
    with pytest.raises(RobotFault):
        GUARD.judge(replace(STATE, **{field: getattr(STATE, field) * np.nan}))


def test_an_order_that_would_bring_links_together_becomes_stay(monkeypatch) -> None:
    """Folded so far that hand and forearm nearly touch; one way leads closer, the other leads away."""
    near = STATE.q.copy()
    while collision.clearance(SPEC, near).distance > collision.MARGIN + 0.002:
        near[3] -= 0.01
    folded = at(near)
    closer = near - 0.04 * (np.arange(7) == 3)
    monkeypatch.setattr("user_gym.robots.safety.clamp", lambda order, *_: safety.Clamped(order, False))
    monkeypatch.setattr(collision, "MARGIN", collision.clearance(SPEC, near).distance)
    safe, clipped = GUARD.allow(Command(0.0, None, closer), folded)
    assert clipped
    assert np.array_equal(safe.joints, near)
    assert not np.shares_memory(safe.joints, near)
    away = near + 0.002 * (np.arange(7) == 3)
    safe, clipped = GUARD.allow(Command(0.0, None, away), folded)
    assert not clipped
    assert np.array_equal(safe.joints, away)


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_links_stay_five_millimetres_apart(robot) -> None:
    """Folded until less than that is left; whatever leads closer is refused, though nothing touches yet."""
    spec = specs.spec(robot)
    rng, found = np.random.default_rng(0), 0
    guard = Guard(spec, TASK.workspace, PERIOD, Thresholds())
    while found < 5:
        q = rng.uniform(spec.q_min, spec.q_max)
        distance = collision.clearance(spec, q).distance
        closer = q + 1e-3 * rng.standard_normal(spec.dof)
        if not (0.001 < distance < 0.0045 and collision.clearance(spec, closer).distance < distance):
            continue
        found += 1
        assert guard._collides(Command(0.0, None, closer), replace(STATE, q=q))
        assert not guard._collides(Command(0.0, None, 2 * q - closer), replace(STATE, q=q))


def test_a_threshold_that_is_none_is_refused() -> None:
    for bad in (0.0, -1.0, np.nan, "much"):
        with pytest.raises(BadOption, match="force"):
            Thresholds(force=bad)
