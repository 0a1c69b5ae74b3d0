"""Lids and caps in PhysX: what hangs on another by a joint rubs, stops, seats and screws as its record says."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from user_gym.core import Body, Command, Joint, Shape
from user_gym.errors import BadOption
from user_gym.robots import pose, registry, specs

pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)

import cpu_scenes
import sapien

from user_gym.sim.maniskill import scene
from user_gym.sim.maniskill.hung import Hung
from user_gym.tasks.cap_tighten import CAP_TOP, PITCH, RUN, STOP, CapTighten
from user_gym.tasks.cap_tighten_expert import CapTightenExpert
from user_gym.tasks.table_cleanup import FALLS_BACK, TableCleanup
from user_gym.testing.bench import Bench

FR3 = specs.spec("franka-fr3")
AT = np.array([0.5, 0.1, 0.02, 0.0, 0.0, np.sin(0.2), np.cos(0.2)])  # of what it hangs on, turned by 0.4 rad
BOX = (Shape("box", (0.02, 0.02, 0.01), pose.IDENTITY),)


class Hinge:
    """One hung body alone, and a hand that pushes along its joint."""

    def __init__(self, body: Body, value: float) -> None:
        self._system = scene.cpu_system(FR3.gravity)
        self._system.timestep = 0.004
        self.place = sapien.Scene([self._system])
        self.hung = Hung(self.place, body, AT, value)

    def push(self, effort: float, seconds: float, along: float = 0.0) -> float:
        """Push by N m or N, and by `along` N the lead of a screw; the joint's value afterwards."""
        arm = self.hung._arm
        for _ in range(round(seconds / 0.004)):
            self.hung.prepare()
            pushed = self.hung._effort.copy()
            pushed[0] += along
            pushed[-1] += effort
            arm.set_qf(pushed)
            self._system.step()
        return float(arm.qpos[-1])


def lid() -> Body:
    return next(body for body in TableCleanup(FR3).bodies if body.joint is not None)


def cap() -> Body:
    return next(body for body in CapTighten(FR3).bodies if body.joint is not None)


@pytest.mark.parametrize("value", [0.2, 1.2, 1.7])
def test_friction_keeps_a_lid_where_it_was_put(value) -> None:
    assert Hinge(lid(), value).push(0.0, 10.0) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize("friction", [0.0, 0.01])
def test_a_lid_with_less_friction_than_its_weight_falls_shut(friction) -> None:
    """Lying nearly, it turns with 0.028 N m."""
    body = lid()
    body = replace(body, joint=replace(body.joint, friction=friction))
    assert Hinge(body, 0.2).push(0.0, 2.0) == pytest.approx(0.0, abs=1e-3)


def test_friction_gives_way_to_more_and_stops_hold() -> None:
    hinge = Hinge(lid(), 1.55)
    assert hinge.push(0.05, 1.0) == pytest.approx(1.55, abs=1e-3)
    assert hinge.push(0.08, 1.0) == pytest.approx(FALLS_BACK, abs=2e-3)
    assert hinge.push(-0.5, 1.0) == pytest.approx(0.0, abs=2e-3)


def test_damping_bounds_the_speed_of_what_is_pushed() -> None:
    joint = Joint("slide", np.array([1.0, 0.0, 0.0]), 0.0, 1.0, friction=1.0, damping=10.0)
    slide = Hinge(Body("drawer", "box", BOX, mass=0.1, joint=joint), 0.0)
    assert slide.push(0.9, 0.5) == pytest.approx(0.0, abs=1e-3)
    before = slide.push(3.0, 0.5)
    assert slide.push(3.0, 1.0) - before == pytest.approx((3.0 - 1.0) / 10.0, rel=0.02)
    away = pose.compose(pose.inverse(AT), slide.hung.pose())
    assert away[:3] == pytest.approx([before + 0.2, 0.0, 0.0], abs=0.01)


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


class Carried(Bench):
    """A board that would sit deep in the shelf it hangs on; and a block that lands on it."""

    def __init__(self, spec, mount="shelf", kind="hinge") -> None:
        super().__init__(spec)
        hinge = Joint(kind, np.array([0.0, 1.0, 0.0]), 0.0, 1.5, friction=1.0)
        self.bodies = (
            *self.bodies,
            Body("shelf", "table", (Shape("box", (0.05, 0.05, 0.05), pose.IDENTITY),)),
            Body("block", "free", BOX, mass=0.1),
            Body("board", mount, BOX, pose=np.array([0.0, 0.0, 0.045, 0.0, 0.0, 0.0, 1.0]), joint=hinge),
        )


def test_what_hangs_touches_all_but_what_it_hangs_on() -> None:
    task = Carried(FR3)
    arm = registry.load("franka-fr3", "maniskill")(FR3, task, "tcp").robot
    arm.connect()
    start = task.start(np.random.default_rng(0))
    shelf, block = np.array([0.3, 0.4, 0.05, 0, 0, 0, 1.0]), np.array([0.3, 0.4, 0.12, 0, 0, 0, 1.0])
    arm.reset(replace(start, objects=np.stack([start.objects[0], shelf, block]), joints=np.zeros(1)))
    for _ in range(10):
        arm.exchange(Command(0.0, tcp=start.tcp))
    scene_now = arm.observe()
    assert scene_now.names == ("plate", "shelf", "block", "board")
    assert scene_now.pose("board") == pytest.approx([0.3, 0.4, 0.095, 0, 0, 0, 1.0], abs=1e-4)
    assert scene_now.pose("block")[2] == pytest.approx(0.115, abs=1e-3)  # on the board's top at 0.105


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


@pytest.mark.parametrize(("options", "names"), [({"mount": "block"}, "'block'"), ({"kind": "ball"}, "'ball'")], ids=str)
def test_a_mount_or_a_joint_that_it_has_not_is_refused(options, names) -> None:
    with pytest.raises(BadOption, match=names):
        registry.load("franka-fr3", "maniskill")(FR3, Carried(FR3, **options), "tcp")


def test_a_batch_on_a_gpu_refuses_what_hangs() -> None:
    with pytest.raises(BadOption, match="'cap' hangs on another by a joint; use device='cpu'"):
        cpu_scenes.twins(FR3, CapTighten(FR3), "tcp", 2)
