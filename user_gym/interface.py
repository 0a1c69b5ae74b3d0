"""What an agent sees and does: spaces, action to Command, state to observation. One formula for one env and for a batch.

docs/ids.md fixes these definitions for v0; a test compares their hash.

Action, in [-1, 1]. `control="tcp"`: six steps of the pose chart in units of the task's action scale, added to the
*measured* pose; `control="joint"`: one step per joint in units of JOINT_STEP. A last entry closes (-1) or opens (1) the
gripper, where the task moves it.

Observation, a one-level Dict. "state" (float32, dimensionless so that agents need no normaliser): TCP pose relative to the
task's goal in action steps (6), velocity in action steps per period (6), contact wrench in units of the largest force the
default compliance can exert (6), gripper -1 .. 1 (1; -1 where the task does not move it); joint positions -1 .. 1 between
the limits (dof) where joints are controlled; position in action steps and rotation vector in half turns (6) of every object
the task names. With obs="pixels" the pose is relative to the episode's first instead, so the goal must be seen, and each
camera adds a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import gymnasium
import numpy as np

from user_gym.core import F32, F64, U8, Bool, Command, Obs, RobotSpec, RobotState, Scene, Task
from user_gym.errors import BadAction, BadOption
from user_gym.robots import pose, safety

JOINT_STEP = safety.JOINT_STEP  # rad for an action of 1: what a driver's process allows as well
SLACK = 3.0  # action steps: compliance and impacts carry the tool a little out of the box of its orders
SPEED = 5.0  # bound of velocities, in action steps per period
FORCE = 10.0  # bound of wrenches, in units of the compliance's largest force: impacts exceed 1
OBSERVATIONS = ("state", "pixels")
CONTROLS = ("tcp", "joint")


class Interface:
    """Spaces and conversions for one robot, task, kind of observation and kind of control.

    Raises:
        BadOption: `obs` or `control` is unknown.
    """

    def __init__(self, spec: RobotSpec, task: Task, obs: str, control: str) -> None:
        if not isinstance(obs, str) or obs not in OBSERVATIONS:
            raise BadOption("obs", obs, " | ".join(OBSERVATIONS))
        if not isinstance(control, str) or control not in CONTROLS:
            raise BadOption("control", control, " | ".join(CONTROLS))
        self._spec, self._task = spec, task
        self._tcp_control = control == "tcp"
        self._scale = task.action_scale if self._tcp_control else np.full(spec.dof, JOINT_STEP)
        self._per_unit = 1.0 / self._scale
        self._axes = len(self._scale)
        self._shape = (self._axes + task.moves_gripper,)
        self._limits = safety.limits(spec, task.workspace, 1.0 / task.rate)
        if self._tcp_control:
            self._limits = replace(self._limits, step=np.minimum(self._limits.step, self._scale))
        self._relative_to_goal = obs == "state"
        self._objects = task.scene_keys
        self._extended = not self._tcp_control or bool(self._objects)
        unit = task.action_scale
        force = spec.compliance.stiffness * spec.compliance.error_clip
        self._offset = np.concatenate([task.goal * self._relative_to_goal, np.zeros(12), [0.5]])
        self._gain = 1.0 / np.concatenate([unit, unit * task.rate, force, [0.5]])
        self._middle, self._half = (spec.q_max + spec.q_min) / 2, (spec.q_max - spec.q_min) / 2
        self._low, self._high = self._bounds()
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, self._shape, np.float32)
        spaces: dict[str, gymnasium.Space] = {
            "state": gymnasium.spaces.Box(self._low.astype(np.float32), self._high.astype(np.float32))
        }
        self.cameras = tuple(c.name for c in spec.cameras) if obs == "pixels" else ()
        for camera in spec.cameras if obs == "pixels" else ():
            spaces[camera.name] = gymnasium.spaces.Box(0, 255, (camera.height, camera.width, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict(spaces)

    def command(self, action: object, state: RobotState) -> tuple[Command, F32, Bool | bool]:
        """Action (..., a) to an order that is safe, the action that it amounts to, and whether the two differ.

        Raises:
            BadAction: no numbers, wrong shape, or not all finite.
        """
        a = numbers(action)
        measured = state.tcp if self._tcp_control else state.q
        if a.shape != measured.shape[:-1] + self._shape:
            raise BadAction(
                f"action of shape {a.shape}; allowed: {measured.shape[:-1] + self._shape}: "
                f"{self._axes} steps of the {'TCP' if self._tcp_control else 'joints'}"
                f"{' and the gripper' if self._task.moves_gripper else ''}, each in [-1, 1]"
            )
        gripper: F64 | float = 0.0  # it keeps what it holds
        if self._task.moves_gripper:
            a, gripper = a[..., :-1], a[..., -1] * 0.5 + 0.5
        target = a * self._scale
        target += measured
        order = Command(gripper, target) if self._tcp_control else Command(gripper, None, target)
        safe, clipped = safety.clamp(order, state, self._limits, self._spec)
        allowed = safe.tcp if safe.tcp is not None else safe.joints
        steps = (allowed - measured) * self._per_unit  # pyright: ignore[reportOptionalOperand]
        if self._task.moves_gripper:
            steps = np.concatenate([steps, np.asarray(safe.gripper)[..., None] * 2 - 1], axis=-1)
        return safe, steps.astype(np.float32), clipped

    def observe(self, state: RobotState, scene: Scene, pictures: Mapping[str, U8], first: F64) -> Obs:
        """Observation of one state or a batch. `first`: (..., 6) TCP at the episode's start."""
        tcp = state.tcp if self._relative_to_goal else state.tcp - first
        # What a hand holds is as wide on every backend, but a hand of a twin may have no fingers to tell how wide.
        gripper = state.gripper if self._task.moves_gripper else state.gripper * 0.0
        vector = np.concatenate([tcp, state.velocity, state.wrench, gripper[..., None]], axis=-1)
        vector -= self._offset
        vector *= self._gain
        if self._extended:
            vector = np.concatenate([vector, *self._more(state, scene)], axis=-1)
        np.maximum(vector, self._low, out=vector)
        np.minimum(vector, self._high, out=vector)
        return {"state": vector.astype(np.float32), **pictures}

    def _more(self, state: RobotState, scene: Scene) -> list[F64]:
        """Joints where they are controlled, and the objects that the task names."""
        parts = [] if self._tcp_control else [(state.q - self._middle) / self._half]
        for name in self._objects:
            at = scene.pose(name)
            place = (at[..., :3] - self._task.goal[:3]) / self._task.action_scale[:3]
            parts.append(np.nan_to_num(np.concatenate([place, pose.log(at[..., 3:]) / np.pi], axis=-1)))  # 0: not known now
        return parts

    def _bounds(self) -> tuple[F64, F64]:
        box, unit = self._task.workspace, self._task.action_scale
        if self._relative_to_goal:
            low, high = (box.low - self._task.goal) / unit - SLACK, (box.high - self._task.goal) / unit + SLACK
        else:
            reach = (box.high - box.low) / unit + SLACK
            low, high = -reach, reach
        low = [*low, *[-SPEED] * 6, *[-FORCE] * 6, -1.0]
        high = [*high, *[SPEED] * 6, *[FORCE] * 6, 1.0]
        if not self._tcp_control:
            low, high = low + [-1.1] * self._spec.dof, high + [1.1] * self._spec.dof
        for _ in self._objects:
            low, high = low + [-100.0] * 3 + [-1.0] * 3, high + [100.0] * 3 + [1.0] * 3
        return np.array(low, np.float32).astype(np.float64), np.array(high, np.float32).astype(np.float64)


def numbers(action: object) -> F64:
    """An action as an array of its own. Raises BadAction where it is not made of numbers."""
    try:
        return np.array(action, np.float64)
    except (TypeError, ValueError) as error:
        raise BadAction(f"action {action!r} ({error}); allowed: an array of numbers in [-1, 1]") from None
