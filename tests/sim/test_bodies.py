"""Bodies that move: what is loose, and what hangs on another by a hinge, a slide or a thread."""

from dataclasses import replace

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from props import CAP_JOINT, CUBE, FRICTION, LID_JOINT, PITCH, SEAT, STIFFNESS, Props, at

from user_gym.core import Body, Command, Shape
from user_gym.errors import BadOption
from user_gym.robots import specs
from user_gym.sim.cell import build, build_batch
from user_gym.sim.plant import compile_plant
from user_gym.vector import RobotVectorEnv

FR3 = specs.spec("franka-fr3")
RNG = np.random.default_rng


class Loose:
    """The bodies alone: gravity, no order to the arm; `push` (N m, N) acts on one joint."""

    def __init__(self, dt=0.004) -> None:
        task = Props(FR3)
        plant = compile_plant(FR3, task, "tcp", dt)
        self.model, self.data, start = plant.model, mujoco.MjData(plant.model), task.start(RNG(0))
        plant.placing.place(self.data.qpos, self.data.mocap_pos, self.data.mocap_quat, start.objects, start.joints)
        self.data.qpos[: FR3.dof] = FR3.home  # high above all of it
        self.model.body_gravcomp[: self.model.body("cube0").id] = 1.0
        mujoco.mj_forward(self.model, self.data)

    def angle(self, name) -> float:
        return float(self.data.joint(name).qpos[0])

    def run(self, seconds, **push) -> None:
        for name, amount in push.items():
            self.data.qfrc_applied[self.model.joint(name).dofadr[0]] = amount
        mujoco.mj_step(self.model, self.data, round(seconds / self.model.opt.timestep))
        self.data.qfrc_applied[:] = 0.0

    def energy_of_the_cap(self) -> float:
        """J: of its turning, and what its seal holds."""
        turning = 0.5 * self.model.dof_armature[self.model.joint("cap").dofadr[0]] * float(self.data.joint("cap").qvel[0]) ** 2
        return turning + 0.5 * STIFFNESS * max(0.0, self.angle("cap") - SEAT) ** 2


@pytest.mark.parametrize("turned", [0.0, 0.7, 1.2, 1.4])
def test_a_screw_turns_under_friction_and_seat_and_no_less(turned) -> None:
    needed = FRICTION + STIFFNESS * max(0.0, turned - SEAT)
    for share, moves in ((0.95, False), (1.1, True)):
        scene = Loose()
        scene.data.joint("cap").qpos[0] = turned
        scene.data.joint("cap_lead").qpos[0] = turned * PITCH / (2 * np.pi)
        scene.run(0.5, cap=share * needed)
        assert (abs(scene.angle("cap") - turned) > 0.02) is moves


def test_a_cap_that_was_tightened_stays_tight() -> None:
    scene = Loose()
    scene.run(3.0, cap=FRICTION + 0.5)
    tight = scene.angle("cap")
    assert SEAT + 0.24 < tight < SEAT + 0.35  # the seat took the 0.5 N m beyond friction
    scene.run(10.0)
    assert abs(scene.angle("cap") - tight) < 0.02


def test_a_screw_advances_by_its_pitch_and_cannot_be_pulled_off() -> None:
    scene = Loose()
    scene.run(3.0, cap=FRICTION + 0.5)
    for push in (0.0, 20.0, -20.0):  # N along the axis: as hard as an arm presses
        scene.run(1.0, cap_lead=push)
        assert scene.angle("cap_lead") == pytest.approx(scene.angle("cap") * PITCH / (2 * np.pi), abs=1e-4)
    assert scene.angle("cap_lead") > 0.4e-3


def test_a_stop_is_not_passed_and_gives_nothing_back() -> None:
    scene = Loose()
    scene.run(2.0, cap=4.0)
    assert 2.0 - 0.01 < scene.angle("cap") < 2.0 + 0.05
    energy = [scene.energy_of_the_cap()]
    for _ in range(200):
        scene.run(0.004)
        energy.append(scene.energy_of_the_cap())
    assert np.diff(energy).max() < 0.01 * energy[0]
    assert SEAT < scene.angle("cap") <= SEAT + FRICTION / STIFFNESS  # friction holds what the seal cannot undo


def test_a_lid_falls_shut_and_a_drawer_stays() -> None:
    scene = Loose()
    scene.run(0.01)
    height = [scene.data.body("lid").xipos[2]]
    for _ in range(60):
        scene.run(0.05)
        height.append(scene.data.body("lid").xipos[2])
    assert np.diff(height).max() < 1e-3  # it never climbs
    assert abs(scene.angle("lid")) < 0.01
    assert scene.angle("drawer") == pytest.approx(0.03, abs=1e-3)


@pytest.mark.parametrize("dt", [0.001, 0.004, 0.005])
def test_a_stack_of_loose_bodies_stands(dt) -> None:
    scene = Loose(dt)
    scene.run(4.0)
    for name, height in (("cube0", CUBE), ("cube1", CUBE), ("cube2", 3 * CUBE)):
        assert scene.data.body(name).xpos[2] == pytest.approx(height, abs=5e-4)


def test_nothing_tunnels_and_nothing_gains_energy() -> None:
    scene = Loose()
    cubes = [scene.data.joint(f"cube{i}_free") for i in range(3)]
    cubes[2].qpos[2], cubes[2].qvel[2] = 0.25, -3.0

    def energy() -> float:
        inertia = 0.05 * (2 * CUBE) ** 2 / 6
        moving = sum(0.5 * 0.05 * c.qvel[:3] @ c.qvel[:3] + 0.5 * inertia * c.qvel[3:] @ c.qvel[3:] for c in cubes)
        return float(moving + sum(0.05 * 9.81 * c.qpos[2] for c in cubes))

    least = energy()
    for _ in range(500):
        scene.run(0.004)
        assert all(c.qpos[2] > CUBE - 0.004 for c in cubes)
        assert energy() < least + 5e-3  # J, of 0.3 that fell: what a contact holds while it is pressed
        least = min(least, energy())


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_what_the_fingers_close_on_is_lifted_and_does_not_slip(robot) -> None:
    spec = specs.spec(robot)
    task = Props(spec)
    arm = build(spec, task, "tcp").robot
    arm.connect()
    start = task.start(RNG(0))
    arm.reset(start)
    grip = start.tcp
    for _ in range(15):
        state = arm.exchange(Command(0.0, tcp=grip))
    assert state.gripper * spec.gripper.width == pytest.approx(2 * CUBE, abs=0.003)
    lifted = []
    for k in range(80):
        up = grip + [0, 0, min(0.05, 0.005 * k), 0, 0, 0.3 * min(1.0, k / 20)]
        state = arm.exchange(Command(0.0, tcp=up))
        lifted.append(arm.observe().pose("cube0")[2] - state.tcp[2])
    assert state.tcp[2] > CUBE + 0.045
    assert np.ptp(lifted[15:]) < 0.001  # 6.5 s in the air
    arm.close()


def test_a_start_sets_joints_and_a_scene_tells_of_all_bodies_but_the_tools() -> None:
    task = Props(FR3)
    arm = build(FR3, task, "tcp").robot
    arm.connect()
    start = task.start(RNG(0))
    for turn in (0.0, 0.5):
        arm.reset(replace(start, joints=np.array([turn, -1.2, 0.03])))
        scene = arm.observe()
        assert scene.names == tuple(b.name for b in task.bodies)
        bottle, cap = scene.pose("bottle"), scene.pose("cap")
        assert cap[2] - bottle[2] == pytest.approx(0.066 - turn * PITCH / (2 * np.pi), abs=2e-5)
        assert 2 * np.arctan2(-cap[5], cap[6]) == pytest.approx(turn, abs=1e-3)
    arm.close()


def test_each_arm_of_a_batch_has_joints_of_its_own() -> None:
    env = RobotVectorEnv(2, task=Props)
    env.reset(seed=0)
    twins, task = env._cell.robot, env.task
    starts = [task.start(RNG(0)), replace(task.start(RNG(0)), joints=np.array([0.9, -0.1, 0.0]))]
    fields = ("tcp", "gripper", "objects", "progress", "joints")
    batch = replace(starts[0], **{f: np.stack([getattr(s, f) for s in starts]) for f in fields}, seed=np.zeros(2, int))
    twins.reset(np.ones(2, bool), batch)
    heights = twins.observe().pose("cap")[:, 2]
    assert heights[0] - heights[1] == pytest.approx(0.7 * PITCH / (2 * np.pi), abs=2e-5)
    env.close()
    assert build_batch(FR3, task, "tcp", 2).scene.names == twins.names


def test_an_env_of_such_a_task_passes_gymnasiums_checker() -> None:
    from gymnasium.utils.env_checker import check_env

    env = gym.make("User/PegInsert-sim-v0").unwrapped.__class__(task=Props)
    env.reset(seed=0)
    check_env(env, skip_render_check=True)
    env.close()


CAP = Props(FR3).bodies[4]
WRONG = {
    "a kind of joint": replace(CAP, joint=replace(CAP_JOINT, kind="ball")),
    "a screw without pitch": replace(CAP, joint=replace(CAP_JOINT, pitch=0.0)),
    "a hinge with pitch": replace(CAP, joint=replace(LID_JOINT, pitch=0.001)),
    "a range of nothing": replace(CAP, joint=replace(CAP_JOINT, low=2.0)),
    "negative friction": replace(CAP, joint=replace(CAP_JOINT, friction=-1.0)),
    "a seat beyond the stop": replace(CAP, joint=replace(CAP_JOINT, seat=2.1)),
    "a carrier that is not there": replace(CAP, mount="shelf"),
    "a joint on the table": replace(CAP, mount="table"),
    "no joint": replace(CAP, joint=None),
    "rolling that speeds up": Body("thing", "free", (Shape("sphere", (0.01,), at()),), rolling=-0.001),
    "no such mount": Body("thing", "wall", (Shape("sphere", (0.01,), at()),)),
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_a_body_that_means_nothing_is_refused(body) -> None:
    task = Props(FR3)
    task.bodies = (*task.bodies[:4], body)
    with pytest.raises(BadOption, match=body.name):
        compile_plant(FR3, task, "tcp", 0.004)
