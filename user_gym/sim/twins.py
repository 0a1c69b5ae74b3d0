"""n equal simulated arms, stepped by threads over C code; one arm is a batch of one.

Each arm is one row of MuJoCo's own batch, so an arm's history does not depend on how many there are or on the number of
threads, bit for bit. A control period is one call; the contact force is averaged over its substeps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import mujoco
import mujoco.batch
import numpy as np

from user_gym.core import F64, Bool, Command, Compliance, ForceEstimate, RobotSpec, RobotState, Scene, Start
from user_gym.errors import BadAction, BadOption, Closed, NotReset, RobotFault
from user_gym.robots import reach
from user_gym.robots.compliance import check as check_compliance
from user_gym.sim import gains
from user_gym.sim.plant import Plant, history
from user_gym.sim.randomisation import Look, Randomisation, Randomiser

MAX_THREADS = 256
_FLIP = np.array([1.0, -1.0, -1.0])  # tool-down axes <-> base axes
_DOWN_WXYZ = np.array([0.0, 1.0, 0.0, 0.0])


class MujocoTwins:
    """A RobotBatch in MuJoCo.

    Args:
        plant: the compiled model.
        count: number of arms.
        threads: that step them; each arm runs on one at a time.
        randomisation: what is drawn for each episode beside what the task draws; None: nothing.
    """

    def __init__(self, plant: Plant, count: int = 1, threads: int = 1, randomisation: Randomisation | None = None) -> None:
        if not isinstance(count, int) or count < 1:
            raise BadOption("count", count, "a whole number, 1 or more")
        if not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
            raise BadOption("threads", threads, f"a whole number, 1 .. {MAX_THREADS}")
        self.spec: RobotSpec = plant.spec
        self.count, self.names = count, plant.objects
        self.plant = plant
        self._threads = min(threads, count)
        self._compliance = self.spec.compliance
        self._batch: Any = None
        self._all = range(count)
        self._ready = [False] * count
        self._shut = np.zeros(count)
        self._random = None if randomisation is None else Randomiser(randomisation, plant, count)

    def connect(self) -> None:
        """Allocate the simulations."""
        if self._batch is not None:
            return
        plant, model = self.plant, self.plant.model
        self._batch = batch = mujoco.batch.Batch(model, self.count, self._threads)
        s = plant.sensors
        self._position, self._rotation = s["position"], s["rotation"]
        self._columns = s["q"], s["dq"], s["tau"], s["velocity"]
        self._valid = np.ones((self.count, len(plant.objects)), bool)
        self._loose = bool(plant.placing.qpos or plant.placing.joints)  # there are objects that move
        self._clock = [0.0] * self.count
        buffers = batch.bind("history")
        if self.spec.force_estimate is ForceEstimate.WRIST:
            self._contacts, self._places = list(history(plant, "contact", buffers)), list(history(plant, "position", buffers))
        else:
            self._torques = list(history(plant, "tau", buffers))
        self._sensors = batch.bind("sensordata")
        self._last = np.zeros((self.count, model.nsensordata))
        self._pose = np.zeros((self.count, 6))
        self._wrench = np.zeros((self.count, 6))
        self._mocap_pos, self._mocap_quat = batch.bind("mocap_pos"), batch.bind("mocap_quat")
        self._ctrl, self._qpos, self._time = batch.bind("ctrl"), batch.bind("qpos"), batch.bind("time")
        self._body_pos, self._body_quat = batch.bind("xpos"), batch.bind("xquat")
        self._friction = batch.expand("dof_frictionloss") if self.spec.friction[1] > 0 else None
        redundant = plant.control == "tcp" and self.spec.dof > 6
        self._posture = batch.expand("qpos_spring") if redundant else None
        if self.spec.force_estimate is ForceEstimate.JOINT_TORQUES:
            self._gravity = batch.bind("qfrc_gravcomp")
            self._tool = model.body(f"link{self.spec.dof}").id
        self._ctrl_rows = list(self._ctrl)
        self._tcp_control = plant.control == "tcp"
        self._order_shape = (self.count, 6 if self._tcp_control else self.spec.dof)
        self._q_low, self._q_high = self.spec.q_min + self.spec.joint_margin, self.spec.q_max - self.spec.joint_margin
        self._finger_step = self.spec.gripper.speed / 2 * plant.substeps * plant.dt  # m: each finger does half the width
        if self._tcp_control:
            self._target_rows = list(self._mocap_quat[:, int(model.body("target").mocapid[0])])
        self._wrist = self.spec.force_estimate is ForceEstimate.WRIST
        if self._random is not None:
            self._grip = batch.expand("geom_friction")
        gains.write(batch, plant, self._compliance)

    def set_compliance(self, compliance: Compliance) -> None:
        """As `Robot.set_compliance`, for every arm."""
        if self.plant.control == "joint":
            raise BadOption(
                "control", "joint", "'tcp' to set a Cartesian compliance", "make the environment with control='tcp'"
            )
        check_compliance(compliance)
        self._compliance = compliance
        if self._batch is not None:
            gains.write(self._batch, self.plant, compliance)

    def reset(self, mask: Bool, starts: Start) -> RobotState:
        """Place the arms of `mask` at their starts, at rest; their clocks start at 0."""
        batch, plant = self._opened(), self.plant
        rows: list[int] = np.flatnonzero(mask).tolist()
        joints = {i: reach.solve(self.spec, starts.tcp[i]) for i in rows}  # all of them, before any arm is touched
        if not rows:
            return self.states()
        batch.reset(mask, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        gripper = np.broadcast_to(starts.gripper, (self.count,))
        seeds = np.broadcast_to(starts.seed, (self.count,))
        for i in rows:
            self._qpos[i, : self.spec.dof] = joints[i]
            self._qpos[i, self.spec.dof : self.spec.dof + plant.fingers] = gripper[i] * self.spec.gripper.width / 2
            objects, mocap = starts.objects[i], (self._mocap_pos[i], self._mocap_quat[i])
            if self._random is not None:
                objects = self._random.begin(i, int(seeds[i]), objects, self._grip[i])
            plant.placing.place(self._qpos[i], *mocap, objects, _row(starts.joints, i))
            if plant.fingers:
                self._ctrl[i, -plant.fingers :] = gripper[i] * self.spec.gripper.width / 2
            self._order(i, starts.tcp[i] if self._tcp_control else joints[i], float(gripper[i]))
            if self._posture is not None:
                self._posture[i, : self.spec.dof] = joints[i]
            if self._friction is not None:
                drawn = np.random.default_rng(int(seeds[i])).uniform(*self.spec.friction, self.spec.dof)
                self._friction[i, : self.spec.dof] = drawn
        # One substep fills the sensors; as after every period, they are of the moment before it: time 0.
        batch.step(mask)
        self._last, self._pose, self._wrench = self._sensors.copy(), self._pose.copy(), self._wrench.copy()
        for i in rows:
            self._ready[i], self._clock[i], self._wrench[i] = True, plant.dt, 0.0
            self._measure_pose(i)
        self._objects = self._locate()
        return self.states()

    def exchange(self, commands: Command, mask: Bool | None = None) -> RobotState:
        """Order all arms, or those of `mask`, and integrate one control period."""
        self.advance(commands, None if mask is None or mask.all() else mask)
        return self.states()

    def advance(self, commands: Command, mask: Bool | None = None) -> None:
        """`exchange` without looking at the result."""
        batch = self._opened()
        rows = self._all if mask is None else np.flatnonzero(mask).tolist()
        orders, gripper = self._refuse(commands, rows)
        late = [] if self._random is None else self._random.steps(list(rows), self.plant.substeps)
        for some, before, _ in late:
            if before:
                batch.step(some, before)
        for i in rows:
            self._order(i, orders[i], gripper[i])
        for some, _, after in late or [(mask, 0, self.plant.substeps)]:
            batch.step(some, after)
        self._last = self._sensors.copy()
        self._pose, self._wrench = self._pose.copy(), self._wrench.copy()
        period, diverged = self.plant.substeps * self.plant.dt, []
        for i in rows:
            now = self._time.item(i)
            if abs(now - self._clock[i] - period) > self.plant.dt / 2:  # MuJoCo resets a simulation whose numbers diverge
                self._ready[i] = False
                diverged.append(i)
            self._clock[i] = now
            self._measure_pose(i)
            self._measure_wrench(i)
        if diverged:
            raise RobotFault(f"simulation of {self.spec.name} number {diverged} diverged; reset it, or use a smaller dt")

    def _refuse(self, commands: Command, rows: Iterable[int]) -> tuple[F64, F64]:
        """The orders (n, 6 or dof) and the gripper's (n,), if they mean something and the arms are ready."""
        orders, other = (commands.tcp, commands.joints) if self._tcp_control else (commands.joints, commands.tcp)
        if orders is None or other is not None or orders.shape != self._order_shape:
            allowed = f"{'tcp' if self._tcp_control else 'joints'} alone, of shape {self._order_shape[1:]}"
            raise BadAction(f"an order for {self.spec.name} under {self.plant.control} control is {allowed}")
        gripper = np.broadcast_to(commands.gripper, (self.count,)) if self.plant.fingers else self._shut
        for i in rows:
            if not self._ready[i]:
                raise NotReset("exchange before reset; call reset first")
            if not math.isfinite(np.add.reduce(orders[i]) + gripper[i]):
                raise BadAction(f"order {orders[i]}, gripper {gripper[i]} for {self.spec.name}; allowed: finite numbers")
        return orders, gripper

    def states(self, row: int | None = None) -> RobotState:
        """All states (n, ...), or one without the batch axis."""
        at: Any = slice(None) if row is None else row
        data, fingers = self._last[at], self.plant.fingers
        q, dq, tau, velocity = self._columns
        return RobotState(
            time=self._time[at] - self.plant.dt,
            q=data[..., q],
            dq=data[..., dq],
            tau=data[..., tau],
            tcp=self._pose[at],
            velocity=data[..., velocity],
            wrench=self._wrench[at],
            gripper=data[..., self.plant.sensors["fingers"]].sum(-1) / self.spec.gripper.width if fingers else self._shut[at],
        )

    def observe(self) -> Scene:
        """Truth about the task's objects, of the same moment as the newest state."""
        return self.scene()

    def scene(self, row: int | None = None) -> Scene:
        """All scenes (n, ...), or one without the batch axis."""
        self._opened()
        at: Any = slice(None) if row is None else row
        if self._loose:
            self._objects = self._locate()
        return Scene(self.plant.objects, self._objects[at], self._valid[at], "sim", self._time[at] - self.plant.dt)

    def _locate(self) -> F64:
        """Poses (n, k, 7) of the objects."""
        bodies = list(self.plant.object_body)
        return np.concatenate([self._body_pos[:, bodies], self._body_quat[:, bodies][..., [1, 2, 3, 0]]], axis=-1)

    def clock(self) -> F64:
        """Seconds (n,) since each arm's reset, at the moment of the newest state."""
        self._opened()
        return self._time - self.plant.dt

    def pose(self, row: int, data: Any) -> None:
        """Write one arm's joints and objects into the MjData of a model with the same layout, for drawing."""
        self._opened()
        data.qpos[:] = self._qpos[row]
        data.mocap_pos[:], data.mocap_quat[:] = self._mocap_pos[row], self._mocap_quat[row]

    def look(self, row: int) -> Look | None:
        """How one arm's episode looks, where that was drawn."""
        return None if self._random is None else self._random.look(row)

    def drawn(self) -> dict[str, F64]:
        """What was drawn for the episodes of all arms, (n,) each, by the name that infos give it; empty where nothing is."""
        return {} if self._random is None else self._random.drawn()

    def close(self) -> None:
        """Free the simulations."""
        self._batch = None
        self._ready = [False] * self.count

    def _order(self, row: int, order: F64, gripper: float) -> None:
        ctrl = self._ctrl_rows[row]
        if self._tcp_control:
            ctrl[:3] = order[:3]
            quat = self._target_rows[row]
            quat[:] = _DOWN_WXYZ
            mujoco.mju_quatIntegrate(quat, order[3:] * _FLIP, 1.0)
        else:
            ctrl[: self.spec.dof] = np.minimum(np.maximum(order, self._q_low), self._q_high)  # the arm's own limit
        if self.plant.fingers:
            fingers = ctrl[-self.plant.fingers :]  # their targets run ahead no faster than the gripper can
            wanted = gripper * self.spec.gripper.width / 2
            fingers += np.clip(wanted - fingers, -self._finger_step, self._finger_step)

    def _measure_pose(self, row: int) -> None:
        data, pose_ = self._last[row], self._pose[row]
        mujoco.mju_quat2Vel(pose_[3:], data[self._rotation], 1.0)
        pose_[3:] *= _FLIP
        pose_[:3] = data[self._position]

    def _measure_wrench(self, row: int) -> None:
        """Mean over the period's substeps; at the last one alone an impact reads ten times as much."""
        if self._wrist:
            contact = self._contacts[row]
            if not contact.any():
                self._wrench[row] = 0.0
                return
            # The sum of the outer products of arm and force; its antisymmetric part is the sum of their cross products.
            moment = (contact[:, 6:] - self._places[row]).T @ contact[:, :3]
            total = np.add.reduce(contact, 0)
            total[3] += moment[1, 2] - moment[2, 1]
            total[4] += moment[2, 0] - moment[0, 2]
            total[5] += moment[0, 1] - moment[1, 0]
            self._wrench[row] = total[:6] / -len(contact)  # the sensor gives what the tool does to the world
        else:
            tau = np.add.reduce(self._torques[row], 0) / self.plant.substeps
            linear, angular = self._batch.jac(self._tool, self._pose[row, :3], ids=[row])
            jacobian = np.concatenate([linear[0], angular[0]])[:, : self.spec.dof]
            self._wrench[row] = np.linalg.solve(jacobian.T, self._gravity[row, : self.spec.dof] - tau)

    def _opened(self) -> Any:
        if self._batch is None:
            raise Closed(f"twin of {self.spec.name} is not connected; call connect()")
        return self._batch


def _row(joints: F64, row: int) -> F64:
    """Start.joints (n, j) of one arm; (0,) where the task has none and nobody made rows of them."""
    return joints[row] if joints.ndim > 1 else joints
