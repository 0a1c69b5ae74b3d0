"""Lids and caps in PhysX: what hangs on another by a joint rubs, stops, seats and screws as its record says."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from user_gym.core import Body, Command, Joint, Shape
from user_gym.errors import BadOption
from user_gym.robots import pose, registry, specs

pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)

import sapien

from user_gym.sim.maniskill import bodies, scene
from user_gym.sim.maniskill.hung import Hung
from user_gym.tasks.cap_tighten import CAP_TOP, PITCH, RUN, STOP, CapTighten
from user_gym.tasks.cap_tighten_expert import CapTightenExpert
from user_gym.tasks.table_cleanup import FALLS_BACK, TableCleanup
from user_gym.tasks.table_cleanup_expert import TableCleanupExpert
from user_gym.testing.bench import Bench

FR3 = specs.spec("franka-fr3")
AT = np.array([0.5, 0.1, 0.02, 0.0, 0.0, np.sin(0.2), np.cos(0.2)])  # of what it hangs on, turned by 0.4 rad
BOX = (Shape("box", (0.02, 0.02, 0.01), pose.IDENTITY),)


class Hinge:
    """One hung body alone, and a hand that pushes along its joint."""

    def __init__(self, body: Body, value: float, dt: float = 0.004) -> None:
        self._system = scene.cpu_system(FR3.gravity)
        self._system.timestep = dt
        self._place = sapien.Scene([self._system])
        carrier = bodies.standing(Body(body.mount, "table", BOX))
        self.hung = Hung(self._place, body, carrier, AT, value, 0)

    def push(self, effort: float, seconds: float, along: float = 0.0) -> float:
        """Push by N m or N, and by `along` N the lead of a screw; the joint's value afterwards."""
        joints = self.hung.articulation
        for _ in range(round(seconds / self._system.timestep)):
            self.hung.prepare()
            pushed = np.array(joints.qf)
            pushed[0] += along
            pushed[-1] += effort
            joints.set_qf(pushed)
            self._system.step()
        return float(joints.qpos[-1])


def lid() -> Body:
    return next(body for body in TableCleanup(FR3).bodies if body.joint is not None)


def cap() -> Body:
    return next(body for body in CapTighten(FR3).bodies if body.joint is not None)


@pytest.mark.parametrize("value", [0.2, 1.2, 1.7])
def test_friction_keeps_a_lid_where_it_was_put(value) -> None:
    assert Hinge(lid(), value).push(0.0, 10.0) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize("friction", [0.0, 0.01])
def test_a_lid_with_less_friction_than_its_weight_falls_shut(friction) -> None:
    """At 0.2 rad that turns it with 0.04 N m."""
    body = lid()
    body = replace(body, joint=replace(body.joint, friction=friction))
    assert Hinge(body, 0.2).push(0.0, 2.0) == pytest.approx(0.0, abs=1e-3)


def test_friction_gives_way_to_more_and_stops_hold() -> None:
    hinge = Hinge(lid(), 1.55)
    assert hinge.push(0.05, 1.0) == pytest.approx(1.55, abs=1e-3)
    assert hinge.push(0.08, 1.0) == pytest.approx(FALLS_BACK, abs=2e-3)
    assert hinge.push(-0.5, 1.0) == pytest.approx(0.0, abs=2e-3)


def drawer(**joint) -> Body:
    return Body("drawer", "box", BOX, mass=0.1, joint=Joint("slide", np.array([1.0, 0.0, 0.0]), 0.0, 5.0, **joint))


@pytest.mark.parametrize("damping", [10.0, 60.0, 500.0])
def test_damping_bounds_the_speed_of_what_is_pushed_however_much_it_is(damping) -> None:
    slide = Hinge(drawer(friction=1.0, damping=damping), 0.0)
    assert slide.push(0.9, 0.5) == pytest.approx(0.0, abs=1e-5)
    before = slide.push(3.0, 0.5)
    after = slide.push(3.0, 1.0)
    assert after - before == pytest.approx((3.0 - 1.0) / damping, rel=0.02)
    away = pose.compose(pose.inverse(AT), slide.hung.pose())
    assert away[:3] == pytest.approx([after, 0.0, 0.0], abs=1e-5)


def test_what_nothing_slows_turns_on() -> None:
    joint = Joint("hinge", np.array([0.0, 0.0, 1.0]), -1.0, 1000.0)
    wheel = Hinge(Body("wheel", "box", BOX, joint=joint), 0.0)
    began = wheel.push(0.01, 0.5)
    after, later = wheel.push(0.0, 1.0), wheel.push(0.0, 1.0)
    assert after - began > 1.0
    assert later - after == pytest.approx(after - began, rel=1e-4)


def test_friction_holds_a_slide_against_its_weight() -> None:
    down = replace(drawer(friction=2.0), joint=Joint("slide", np.array([0.0, 0.0, -1.0]), 0.0, 1.0, friction=2.0))
    assert Hinge(down, 0.3).push(0.0, 5.0) == pytest.approx(0.3, abs=1e-4)


@pytest.mark.parametrize("kind", ["hinge", "screw"])
def test_a_joint_of_several_turns_keeps_count_of_them(kind) -> None:
    """A cap that takes four turns begins after one and ends at its stop."""
    pitch = PITCH if kind == "screw" else 0.0
    joint = Joint(kind, np.array([0.0, 0.0, 1.0]), 0.0, 25.0, friction=0.1, damping=0.01, pitch=pitch)
    cap_ = Hinge(Body("cap", "box", BOX, joint=joint), 8.0)
    at = pose.compose(pose.inverse(AT), cap_.hung.pose())
    assert at[:3] == pytest.approx([0.0, 0.0, 8.0 * pitch / (2 * np.pi)], abs=1e-5)  # before any step
    assert pose.log(at[3:])[2] == pytest.approx(8.0 - 2 * np.pi, abs=1e-4)
    assert cap_.push(0.0, 0.5) == pytest.approx(8.0, abs=1e-3)
    assert cap_.push(0.2, 4.0) == pytest.approx(25.0, abs=0.01)
    away = pose.compose(pose.inverse(AT), cap_.hung.pose())
    assert away[2] == pytest.approx(25.0 * pitch / (2 * np.pi), abs=1e-4)


def test_a_seat_resists_the_more_the_farther_and_friction_keeps_what_was_reached() -> None:
    screw = Hinge(cap(), RUN)
    assert screw.push(0.5, 1.0) == pytest.approx(RUN, abs=1e-3)  # 0.6 N m of friction
    for effort in np.linspace(0.6, 0.9, 100):  # at once it would swing twice as far
        turned = screw.push(effort, 0.02)
    assert turned == pytest.approx(RUN + 0.1, abs=0.005)  # and 3 N m/rad
    assert screw.push(0.0, 5.0) == pytest.approx(turned, abs=2e-3)
    assert screw.push(5.0, 1.0) == pytest.approx(RUN + STOP, abs=5e-3)


def test_a_screw_goes_down_its_thread_and_no_push_strips_it() -> None:
    screw, turned = Hinge(cap(), 0.1), -0.1
    for effort, along in ((0.8, 0.0), (0.0, 20.0), (0.0, -20.0)):
        turned = -screw.push(effort, 0.3, along)
        at = pose.compose(pose.inverse(AT), screw.hung.pose())
        assert at[:3] == pytest.approx([0.0, 0.0, CAP_TOP + turned * PITCH / (2 * np.pi)], abs=1e-4)
        assert pose.log(at[3:]) == pytest.approx([0.0, 0.0, turned], abs=1e-3)
    assert turned < -RUN


LEVEL = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])


class Shelves(Bench):
    """Two shelves with a board each, which would sit deep in its own shelf and hangs over the other; and a block."""

    def __init__(self, spec, mount="left", kind="hinge", axis=(0.0, 1.0, 0.0)) -> None:
        super().__init__(spec)
        hinge = Joint(kind, np.array(axis), -1.5, 1.5, friction=0.001)
        shelf = (Shape("box", (0.05, 0.05, 0.05), LEVEL),)
        board = (Shape("box", (0.08, 0.02, 0.005), LEVEL + [0.08, 0, 0, 0, 0, 0, 0]),)
        wide = (Shape("box", (0.02, 0.06, 0.01), LEVEL),)
        sunk = LEVEL + [0.0, 0.0, 0.045, 0, 0, 0, 0]
        self.bodies = (
            *self.bodies,
            Body("left", "table", shelf),
            Body("right", "table", shelf),
            Body("block", "free", BOX, mass=0.1),
            Body("board", mount, board, pose=sunk, joint=hinge),
            Body("other", "right", wide, pose=sunk, joint=replace(hinge, friction=1.0)),
        )


def shelves(task, objects, joints):
    """What a twin says a second later of the bodies of Shelves."""
    arm = registry.load("franka-fr3", "maniskill")(FR3, task, "tcp").robot
    arm.connect()
    start = task.start(np.random.default_rng(0))
    start = replace(start, objects=np.concatenate([start.objects, objects]), joints=np.asarray(joints))
    arm.reset(start)
    start.objects[:] = np.nan  # whoever gave them may use them again
    for _ in range(10):
        arm.exchange(Command(0.0, tcp=start.tcp))
    return arm.observe()


def test_what_hangs_touches_all_but_what_it_hangs_on() -> None:
    """One board falls from above onto the other shelf's edge; the other stays deep in its own, and a block lands on it."""
    left = np.array([0.25, 0.4, 0.05, 0, 0, 0, 1.0])
    right, block = left + [0.13, 0, 0.02, 0, 0, 0, 0], left + [0.13, 0.042, 0.11, 0, 0, 0, 0]
    seen = shelves(Shelves(FR3), np.stack([left, right, block]), [-0.9, 0.0])
    assert seen.names == ("plate", "left", "right", "block", "board", "other")
    assert seen.pose("left") == pytest.approx(left)
    assert seen.pose("other") == pytest.approx(right + [0, 0, 0.045, 0, 0, 0, 0], abs=1e-4)
    assert seen.pose("block")[2] == pytest.approx(0.135, abs=1e-3)  # its underside on the other's top, at 0.125 m
    edge, high = 0.08, 0.12 - 0.095  # m from the board's hinge to the shelf's upper edge
    lies = np.arctan2(high, edge) + np.arcsin(0.005 / np.hypot(high, edge))
    assert pose.log(seen.pose("board")[3:]) == pytest.approx([0.0, -lies, 0.0], abs=0.01)


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_a_cap_resists_the_wrench_as_in_mujoco(robot) -> None:
    """Turned by the scripted hand until it is tight: as far and with as much torque in either simulator."""
    ends = []
    for backend in ("maniskill", "sim"):
        env = gym.make(f"User/CapTighten-{backend}-v0", robot=robot)
        env.reset(seed=3)
        core, info = env.unwrapped, {"is_success": False}
        hand = CapTightenExpert(core.task)
        for _ in range(100):
            *_, over, _, info = env.step(hand.action(core.state))
            if over:
                break
        assert info["is_success"]
        bottle, cap = core.scene.pose("bottle"), core.scene.pose("cap")
        ends.append((core.state.wrench[5], pose.log(pose.multiply(pose.conjugate(bottle[3:]), cap[3:]))[2]))
        env.close()
    (torque, turned), (there, turned_there) = ends
    assert torque == pytest.approx(there, rel=0.05)
    assert turned == pytest.approx(turned_there, abs=0.02)


def test_a_batch_begins_with_the_joints_of_each_start() -> None:
    many = gym.make_vec("User/TableCleanup-maniskill-v0", 3)
    one = gym.make("User/TableCleanup-maniskill-v0")
    many.reset(seed=5)
    for i in range(3):
        one.reset(seed=5 + i)
        assert np.array_equal(one.unwrapped.scene.pose("lid"), many.unwrapped.scene.pose("lid")[i])
    lids = many.unwrapped.scene.pose("lid")
    assert len(np.unique(lids[:, 4])) == 3
    many.close()
    one.close()


@pytest.mark.slow
@pytest.mark.parametrize("robot", ["franka-fer", "arx-l5"])
def test_an_expert_clears_the_table_and_shuts_the_lid(robot) -> None:
    env = gym.make("User/TableCleanup-maniskill-v0", robot=robot)
    env.reset(seed=0)
    core, info = env.unwrapped, {"is_success": False}
    hand = TableCleanupExpert(core.task)
    hand.watch(lambda: core.scene)
    for _ in range(400):
        *_, over, _, info = env.step(hand.action(core.state))
        if over:
            break
    assert info["is_success"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"mount": "block"}, "'block'.*left"),
        ({"mount": "tool"}, "'tool'.*left"),
        ({"kind": "ball"}, "'ball'"),
        ({"axis": (0, 2, 0)}, "unit"),
    ],
    ids=str,
)
def test_a_mount_or_a_joint_that_it_has_not_is_refused(options, names) -> None:
    with pytest.raises(BadOption, match=names):
        registry.load("franka-fr3", "maniskill")(FR3, Shelves(FR3, **options), "tcp")


def test_a_body_without_joint_stands_lies_or_is_held() -> None:
    task = Shelves(FR3)
    task.bodies = (*task.bodies, Body("lost", "left", BOX))
    with pytest.raises(BadOption, match=r"'left'; allowed: table \| free \| tool.*'lost'"):
        registry.load("franka-fr3", "maniskill")(FR3, task, "tcp")


def test_more_than_the_filter_has_bits_for_are_refused() -> None:
    task = Shelves(FR3)
    board = task.bodies[-1]
    task.bodies += tuple(replace(board, name=f"board{k}") for k in range(31))
    with pytest.raises(BadOption, match=r"33 that hang on others.*32 at most"):
        registry.load("franka-fr3", "maniskill")(FR3, task, "tcp")


@pytest.mark.parametrize("joints", [[], [0.0], [0.0, np.nan], [[0.0, 0.0]]], ids=str)
def test_joints_of_a_start_that_are_none_are_refused(joints) -> None:
    at = np.tile(np.array([0.25, 0.4, 0.05, 0, 0, 0, 1.0]), (3, 1))
    with pytest.raises(BadOption, match=r"joints.*2 finite numbers"):
        shelves(Shelves(FR3), at, joints)


def test_a_task_without_objects_has_an_empty_scene() -> None:
    task = Bench(FR3)
    task.bodies = ()
    arm = registry.load("franka-fr3", "maniskill")(FR3, task, "tcp").robot
    arm.connect()
    arm.reset(replace(task.start(np.random.default_rng(0)), objects=np.zeros((0, 7))))
    assert arm.observe().poses.shape == (0, 7)


def test_a_batch_on_a_gpu_refuses_what_hangs_before_it_looks_for_one() -> None:
    with pytest.raises(BadOption, match="'cap' hangs on another by a joint; use device='cpu'"):
        gym.make_vec("User/CapTighten-maniskill-v0", 2, device="cuda")
