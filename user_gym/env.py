"""One Robot and one Task make one gymnasium.Env. There is no sim or real here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.utils import EzPickle

from user_gym.core import (
    F64,
    I64,
    Attended,
    Cell,
    Compliance,
    Obs,
    Randomised,
    Robot,
    RobotBatch,
    RobotSpec,
    RobotState,
    Scene,
    Staged,
    Start,
    Task,
    Workspace,
)
from user_gym.core.device import RawSource
from user_gym.errors import BadOption, Closed, NotReset
from user_gym.interface import Interface
from user_gym.robots import registry
from user_gym.robots.tap import Tap

RENDER_MODES = ("rgb_array", "human")
_DEPTH = 1000  # states that wait for who records them: a simulation may run far ahead of it
_STATE = tuple(field.name for field in fields(RobotState) if field.name != "time")
# What this machine can do: Gymnasium's checker tries every mode that is declared.
_DISPLAY = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or sys.platform != "linux"


class RobotEnv(gymnasium.Env[Obs, np.ndarray], EzPickle):
    """An arm and what it is to do. The constructor does no I/O; `reset` connects.

    Args:
        task: a registered name, or a callable that makes a Task for a RobotSpec.
        backend: "sim", "real" or another registered backend.
        robot: a registered name: franka-fr3, franka-fer, arx-x5, arx-l5; on "real" also the id of one in the inventory, or
            "any": the first there that can do the task.
        obs: "state" or "pixels" (see `user_gym.interface`).
        control: "tcp" or "joint".
        render_mode: None, "rgb_array" or "human".
        **options: of the task, such as `hole_offset=0.002`, and of the backend, such as `dt=0.002`.

    Raises:
        UnknownName: no such task, backend or robot.
        BadOption: an option has a value that is not allowed.
        MissingExtra: the backend needs a package that is not installed.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "render_modes": list(RENDER_MODES[: 1 + _DISPLAY]),
        "render_fps": 10,
    }

    def __init__(
        self,
        task: str | Callable[..., Task] = "PegInsert",
        backend: str = "sim",
        robot: str = "franka-fr3",
        obs: str = "state",
        control: str = "tcp",
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        EzPickle.__init__(self, task, backend, robot, obs, control, render_mode, **options)
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise BadOption("render_mode", render_mode, "None | " + " | ".join(RENDER_MODES))
        name = task if isinstance(task, str) else str(getattr(task, "name", ""))
        self.spec_of_robot: RobotSpec
        self.spec_of_robot, options = registry.choose(robot, backend, name, options)  # pyright: ignore[reportAssignmentType]
        assembled: tuple[Task, Cell[Robot]] = registry.assemble(task, backend, self.spec_of_robot, control, options)
        self.task, self._cell = assembled
        self._interface = Interface(self.spec_of_robot, self.task, obs, control)
        self.metadata = {**self.metadata, "render_fps": self.task.rate}  # pyright: ignore[reportIncompatibleVariableOverride, reportAttributeAccessIssue]
        self.observation_space: gymnasium.Space[Any] = self._interface.observation_space
        self.action_space: gymnasium.Space[Any] = self._interface.action_space
        self.render_mode = render_mode
        self._state: RobotState | None = None
        self._states = Tap("state", self.task.rate, _DEPTH)
        self._closed = False

    @property
    def raw_sources(self) -> tuple[RawSource, ...]:
        """What the robot and its devices say beyond the observation, for who records it: "state", and cameras as they are."""
        return (self._states, *self._cell.raw)

    @property
    def state(self) -> RobotState:
        """The newest state of the robot. Raises NotReset."""
        if self._closed:
            raise Closed("the environment is closed; make a new one")
        if self._state is None:
            raise NotReset("step, render or state before reset; call env.reset() first")
        return self._state

    @property
    def robot(self) -> Robot:
        """The arm; on a real one `overruns` tells how many of its periods came late."""
        return self._cell.robot

    @property
    def scene(self) -> Scene:
        """Where the objects are at the moment of `state`. Raises NotReset."""
        _ = self.state
        return self._cell.scene.observe()

    @property
    def task_description(self) -> str:
        """What is to be done, in words a language-conditioned policy can read."""
        return self.task.description

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin an episode. After a RobotFault this recovers the robot, or says why that takes a person.

        Args:
            seed: reseeds everything that is random.
            options: {"tcp": (6,)} starts the TCP there (pose chart, inside the workspace) instead of at random.

        Raises:
            RobotFault, NoRobot, NotApproved: from a real robot; calling it again later is allowed.
        """
        if self._closed:
            raise Closed("the environment is closed; make a new one")
        tcp = wanted(checked(options), self.task.workspace)
        self._cell.connect(self._interface.cameras, self.render_mode)
        super().reset(seed=seed)  # from here on the generators move: a reset refused above changes nothing
        start = draw(self.task, self.np_random, tcp)
        self._state = state = self._cell.robot.reset(start)
        self._tell(state)
        self._first, self._progress = state.tcp, start.progress
        obs = self._interface.observe(state, self._cell.scene.observe(), self._pictures(), self._first)
        self._show()
        more = {name: float(value) for name, value in drawn(self._cell.robot).items()}
        return obs, resting_info(state) | more | self._stages()

    def step(self, action: np.ndarray) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        """Order, wait one control period on the robot's clock, judge.

        Raises:
            RobotFault: the robot stopped, and holds. The episode is over without a last observation; `reset` goes on.
            BadAction: the action means nothing; nothing moved, and the episode goes on.
        """
        command, executed, clipped = self._interface.command(action, self.state)
        self._state = state = self._cell.robot.exchange(command)
        self._tell(state)
        scene = self._cell.scene.observe()
        judgement = self.task.judge(state, scene, self._progress)
        self._progress = judgement.progress
        success = bool(judgement.success)
        info = {
            "is_success": success,
            "is_intervention": False,
            "teleop_action": executed.copy(),
            "executed_action": executed,
            "safety_clipped": bool(clipped) or getattr(self._cell.robot, "clipped", False),
            "terminate_episode": False,
            "rerecord_episode": False,
            "discrete_penalty": 0.0,
            "time": float(state.time),
            **self._stages(),
        }
        obs = self._interface.observe(state, scene, self._pictures(), self._first)
        self._show()
        return obs, float(judgement.reward), success or bool(judgement.failure), False, info

    def render(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A picture (480, 480, 3) in mode "rgb_array"; in mode "human" the window is kept up to date by itself."""
        _ = self.state
        return self._cell.view.read().image if self.render_mode == "rgb_array" and self._cell.view else None

    def set_compliance(self, compliance: Compliance) -> None:
        """Change how the arm yields, from the next step on; kept over resets. Raises BadOption."""
        if self._closed:
            raise Closed("the environment is closed; make a new one")
        self._cell.robot.set_compliance(compliance)

    def attend(self) -> None:
        """Say that the next step comes late on purpose, to arms that would take the silence for the end of their program."""
        if isinstance(self._cell.robot, Attended):
            self._cell.robot.attend()

    def close(self) -> None:
        """Stop the robot and let go of everything. May be called twice."""
        if not self._closed:
            self._closed = True
            self._cell.close()

    def _stages(self) -> dict[str, int]:
        return {name: int(value) for name, value in stages(self.task, self._progress).items()}

    def _tell(self, state: RobotState) -> None:
        if self._states.is_read:
            self._states.put(float(state.time), {name: np.asarray(getattr(state, name)) for name in _STATE})

    def _show(self) -> None:
        if self.render_mode == "human" and self._cell.window is not None:
            self._cell.window.refresh()

    def _pictures(self) -> dict[str, Any]:
        return {name: self._cell.cameras[name].read().image for name in self._interface.cameras}


def make(**options: Any) -> RobotEnv:
    """Entry point of the ids. A function: of a class, Gymnasium would answer for render modes that only `reset` can judge."""
    return RobotEnv(**options)


def resting_info(state: RobotState) -> dict[str, Any]:
    """Info of a reset: what later steps also say, as far as it means something yet."""
    return {"is_success": False, "is_intervention": False, "time": float(np.max(state.time))}


def drawn(robot: Robot | RobotBatch) -> Mapping[str, F64]:
    """What a backend drew for the episodes by itself, () or (n,) each; empty where it draws nothing."""
    return robot.drawn() if isinstance(robot, Randomised) else {}


def stages(task: Task, progress: F64) -> Mapping[str, I64]:
    """How far episodes are, () or (n,) each; empty where a task has no stages."""
    return task.stages(progress) if isinstance(task, Staged) else {}


def checked(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of the options of a reset. Raises BadOption where they are no mapping."""
    if options is not None and not isinstance(options, Mapping):
        raise BadOption("reset options", options, "None or a dict")
    return dict(options or {})


def wanted(options: Mapping[str, Any] | None, box: Workspace) -> F64 | None:
    """Where the options of a reset want the TCP (6,); None: at random. Raises BadOption."""
    for name in options or {}:
        if name != "tcp":
            raise BadOption("reset option", name, "'tcp': where to start, (6,) m and rad")
    value = (options or {}).get("tcp")
    if value is None:
        return None
    try:
        tcp = np.array(value, np.float64)
    except (TypeError, ValueError):
        tcp = np.empty(0)
    if tcp.shape != (6,) or not ((tcp >= box.low) & (tcp <= box.high)).all():
        raise BadOption("reset option 'tcp'", value, f"six numbers between {box.low.tolist()} and {box.high.tolist()}")
    return tcp


def draw(task: Task, rng: np.random.Generator, tcp: F64 | None) -> Start:
    """One episode's start: at `tcp`, if that is wanted. The same numbers are drawn in either case."""
    start = task.start(rng)
    return replace(start, seed=int(rng.integers(2**31)), tcp=start.tcp if tcp is None else tcp)
