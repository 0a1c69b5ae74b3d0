"""Unmodified clients against the FCI twin, each in a process of its own: not all of them can share one."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import mujoco
import numpy as np
import pytest
from fci_client import free_address, run

from user_gym.core import RobotSpec
from user_gym.robots import kinematics
from user_gym.robots.franka import FER, FR3
from user_gym.sim.fci.twin import FciTwin
from user_gym.sim.plant import compile_plant
from user_gym.sim.twin_process import TwinProcess
from user_gym.tasks.peg_insert import PegInsert


def needs(module: str):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} has no wheel here")


def dynamics(spec: RobotSpec, q: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Gravity (7,) N m and mass matrix (7, 7) of the twin's own physics, with a peg that weighs nothing."""
    task = PegInsert(spec)
    task.bodies = tuple(replace(body, mass=1e-9) for body in task.bodies)
    model = compile_plant(spec, task, "motors", 0.001).model
    model.dof_armature[:] = 0.0  # reflected rotors are in no model that a client gets
    data, mass = mujoco.MjData(model), np.zeros((7, 7))
    data.qpos[:7] = q
    mujoco.mj_forward(model, data)
    mujoco.mj_fullM(model, data, mass)
    return data.qfrc_bias[:7], mass


FRANKY = """
import json, sys, numpy as np, franky
address = sys.argv[1]
robot = franky.Robot(address, realtime_config=franky.RealtimeConfig.Ignore)
robot.relative_dynamics_factor = 0.3
robot.set_collision_behavior(100.0, 100.0)
out = {}
goal = [0.0, 0.1, 0.0, -2.3, 0.0, 2.4, 0.8]
robot.move(franky.JointMotion(franky.JointState(goal)))
out["joint"] = float(np.abs(np.array(robot.state.q) - goal).max())
before = robot.state.O_T_EE.translation
robot.move(franky.CartesianMotion(franky.Affine([0, 0, -0.05]), franky.ReferenceType.Relative))  # the tool's z points down
out["up_again"] = float((robot.state.O_T_EE.translation - before)[2])
before = np.array(robot.state.q)
robot.move(franky.JointVelocityMotion([0.1, 0, 0, 0, 0, 0, 0], franky.Duration(200)))
out["velocity"] = float(robot.state.q[0] - before[0])
before = robot.state.O_T_EE.translation
robot.move(franky.CartesianVelocityMotion(franky.Twist([0, 0, 0.05], [0, 0, 0]), franky.Duration(200)))
out["up"] = float((robot.state.O_T_EE.translation - before)[2])
gripper = franky.Gripper(address)
out["grasp"] = gripper.grasp(0.02, 0.05, 20, epsilon_inner=0.005, epsilon_outer=0.005)
out["width"] = gripper.width
out["opened"] = gripper.open(0.05) and gripper.width
print(json.dumps(out))
"""


@needs("franky")
def test_franky_moves_the_arm_and_the_gripper_in_every_way() -> None:
    with FciTwin(FR3, PegInsert(FR3), free_address(), mode="lockstep") as twin:
        out = json.loads(run(FRANKY, twin.address).splitlines()[-1])
    assert out["joint"] < 1e-4
    assert out["up_again"] == pytest.approx(0.05, abs=1e-4)
    assert out["velocity"] > 0.01
    assert out["up"] > 0.005
    assert (out["grasp"], out["width"], out["opened"]) == (True, 0.02, 0.08)


TRACKING = """
import hashlib, json, sys, time, numpy as np, franky
from user_gym.robots.side import Side
address, side, stall = sys.argv[1], Side(sys.argv[2]), float(sys.argv[3])
side.connect()
robot = franky.Robot(address, realtime_config=franky.RealtimeConfig.Ignore)
robot.relative_dynamics_factor = 0.3
robot.set_collision_behavior(200.0, 200.0)
side.ask("mode", mode="lockstep")
robot.move(franky.JointMotion(franky.JointState([0.0, 0.174, -0.05, -2.347, 0.0156, 2.52, 0.8])))
side.ask("arrange", objects=[[0.53, 0.0, 0.03, 0, 0, 0, 1]], seed=1)
side.ask("mode", mode="gated")
rest = np.array(robot.state.q)
motion = franky.CartesianImpedanceTrackingMotion(
    2000, 150, translational_error_clip=np.array([0.003, 0.003, 0.01]), rotational_error_clip=np.array([0.02] * 3),
    gains_time_constant=1e-3, posture_task=franky.PostureTask(rest, 10.0))
motion.set_gains(franky.CartesianImpedanceGains.isotropic(2000, 150, 89, 7))
start = robot.state.O_T_EE
motion.set_reference(franky.CartesianReference(start))
robot.move(motion, asynchronous=True)
seen, point, force = hashlib.sha256(), start.translation.copy(), 0.0
for step in range(40):
    point = point + [0.002 * np.sin(step), 0.0, -0.004]
    motion.set_reference(franky.CartesianReference(franky.Affine(point, start.quaternion)))
    done = side.ask("advance", ticks=50, timeout=20).header
    assert done == {"ticks": 50, "motion": "moving"}, done
    state = robot.state
    seen.update(np.array(state.q).tobytes() + np.array(state.dq).tobytes())
    force = float(state.O_F_ext_hat_K[2])
    if step == 20:
        time.sleep(stall)
robot.move(franky.TorqueStopMotion(), asynchronous=True)
done = side.ask("advance", ticks=1000, timeout=20).header
assert done["motion"] == "idle", done
robot.join_motion()
side.ask("mode", mode="lockstep")
print(json.dumps({"hash": seen.hexdigest(), "force": force}))
"""


@needs("franky")
def test_gated_impedance_tracking_into_contact_is_bit_identical_with_a_stall_of_the_learner() -> None:
    runs = []
    for stall in ("0", "1.5"):
        options = {"address": free_address(), "mode": "lockstep"}
        with TwinProcess("user_gym.sim.fci.twin:FciTwin", "franka-fr3", options) as twin:
            runs.append(json.loads(run(TRACKING, options["address"], twin.side, stall).splitlines()[-1]))
    assert runs[0] == runs[1]
    assert runs[0]["force"] == pytest.approx(-20.0, abs=1.0)  # 2000 N/m times the clip of 10 mm, pressed on the board


REFLEX = """
import json, sys, numpy as np, franky
from user_gym.robots.side import Side
side = Side(sys.argv[2]); side.connect()
robot = franky.Robot(sys.argv[1], realtime_config=franky.RealtimeConfig.Ignore)
robot.relative_dynamics_factor = 0.3
side.ask("fault", name="reflex", reason="joint_reflex")
try:
    robot.move(franky.JointMotion(franky.JointState([0.1, -0.6, 0, -2.3, 0, 1.7, 0.8])))
    refused = ""
except franky.CommandException as error:
    refused = str(error)
robot.recover_from_errors()
robot.move(franky.JointMotion(franky.JointState([0.1, -0.6, 0, -2.3, 0, 1.7, 0.8])))
print(json.dumps({"refused": refused, "q0": float(robot.state.q[0])}))
"""


@needs("franky")
def test_franky_is_refused_in_a_reflex_and_goes_on_after_recovery() -> None:
    with FciTwin(FR3, PegInsert(FR3), free_address(), mode="lockstep") as twin:
        out = json.loads(run(REFLEX, twin.address, twin.side).splitlines()[-1])
    assert "not possible in the current mode" in out["refused"]
    assert out["q0"] == pytest.approx(0.1, abs=1e-4)


LIBFRANKA = """
import json, sys, numpy as np, pylibfranka
robot = pylibfranka.Robot(sys.argv[1], pylibfranka.RealtimeConfig.kIgnore)
state = robot.read_once()
model = robot.load_model()
control = robot.start_torque_control()
for k in range(200):
    state, period = control.readOnce()
    torques = pylibfranka.Torques([0, 0, 0, 0, 0, 0, 0.3 if k < 100 else -0.3])
    torques.motion_finished = k == 199
    control.writeOnce(torques)
print(json.dumps({"q": list(state.q), "gravity": list(model.gravity(state)), "mass": list(model.mass(state)),
                  "jacobian": list(model.zero_jacobian(state)), "pose": list(state.O_T_EE)}))
"""


@needs("pylibfranka")
def test_pylibfranka_runs_a_torque_loop_and_its_model_is_the_twins() -> None:
    with FciTwin(FR3, PegInsert(FR3), free_address(), mode="lockstep") as twin:
        out = json.loads(run(LIBFRANKA, twin.address).splitlines()[-1])
    assert out["q"][6] > FR3.home[6] + 1e-3
    gravity, mass = dynamics(FR3, out["q"])
    np.testing.assert_allclose(out["gravity"], gravity, atol=1e-4)  # a state's floats have 24 bits
    np.testing.assert_allclose(np.reshape(out["mass"], (7, 7)), mass, atol=1e-5)
    jacobian = np.reshape(out["jacobian"], (7, 6)).T
    np.testing.assert_allclose(jacobian, kinematics.jacobian(FR3, np.array(out["q"])), atol=1e-6)
    np.testing.assert_allclose(out["pose"][12:15], kinematics.position(FR3, np.array(out["q"])), atol=1e-6)


PANDA = """
import json, sys, time, numpy as np, panda_py
from panda_py import controllers, libfranka
robot = panda_py.Panda(sys.argv[1])
goal = [0.0, -0.6, 0.0, -2.3, 0.0, 1.7, 0.8]
moved = robot.move_to_joint_position(goal)
off = float(np.abs(np.array(robot.q) - goal).max())
model, state = robot.get_model(), robot.get_state()
controller = controllers.CartesianImpedance(filter_coeff=1.0)
before, turn = robot.get_position(), robot.get_orientation()
robot.start_controller(controller)
for k in range(50):
    controller.set_control(before + [0, 0, 0.0004 * k], turn)
    time.sleep(0.005)
time.sleep(0.2)  # a busy machine may have kept the arm from following so far
robot.stop_controller()
gripper = libfranka.Gripper(sys.argv[1])
out = {"moved": moved, "off": off, "up": float((robot.get_position() - before)[2]), "grasp": gripper.grasp(0.02, 0.05, 20.0),
       "gravity": list(model.gravity(state)), "q": list(state.q), "mass": list(model.mass(state)),
       "coriolis": list(model.coriolis(state))}
print(json.dumps(out), flush=True)
"""


@needs("panda_py")
def test_panda_python_moves_the_fer_with_a_model_of_our_own() -> None:
    with FciTwin(FER, PegInsert(FER), free_address(), mode="lockstep") as twin:
        out = json.loads(run(PANDA, twin.address).splitlines()[-1])
    assert out["moved"]
    assert out["off"] < 1e-3
    assert 0.015 < out["up"] < 0.025
    assert out["grasp"]
    gravity, mass = dynamics(FER, out["q"])
    np.testing.assert_allclose(out["gravity"], gravity, atol=1e-7)
    np.testing.assert_allclose(np.reshape(out["mass"], (7, 7)), mass, atol=1e-7)
