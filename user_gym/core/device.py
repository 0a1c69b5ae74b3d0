"""Devices as protocols: the arm, the eyes, the human; and the cell they form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from numpy.typing import NDArray

from user_gym.core.arrays import F32, F64, Bool
from user_gym.core.spec import CameraSpec, Compliance, RobotSpec
from user_gym.core.task import Start, Task
from user_gym.core.tick import Command, Frame, RobotState, Scene


@runtime_checkable
class Robot(Protocol):
    """One arm. `exchange` is the only hot method, and time belongs to the robot.

    Constructors do no I/O. `connect` and `close` may each be called twice.
    """

    spec: RobotSpec

    def connect(self) -> None:
        """Open what is needed to move. Raises RobotFault, MissingExtra."""
        ...

    def reset(self, start: Start) -> RobotState:
        """Go to the start of an episode; its clock starts at 0. Raises Unreachable, RobotFault."""
        ...

    def exchange(self, command: Command) -> RobotState:
        """Order, then return the state one control period later on the robot's own clock. Raises RobotFault."""
        ...

    def set_compliance(self, compliance: Compliance) -> None:
        """Change stiffness, damping and error clip, between two periods; kept over resets.

        Raises:
            BadOption: a value is negative or not finite, or the arm is not under Cartesian control.
        """
        ...

    def close(self) -> None:
        """Stop and let go."""
        ...


@runtime_checkable
class Attended(Protocol):
    """A Robot that takes a long silence for the death of its program, and stops."""

    def attend(self) -> None:
        """Say that the program lives and the next order comes later. The arm stays where it is. Raises RobotFault."""
        ...


@runtime_checkable
class Randomised(Protocol):
    """A Robot or RobotBatch that may draw more for an episode than its Start says, such as friction, light or latency."""

    def drawn(self) -> Mapping[str, F64]:
        """What it drew at the last reset, () or (n,) numbers by the name that infos give them; empty where nothing is drawn."""
        ...


@runtime_checkable
class RobotBatch(Protocol):
    """n equal arms stepped together; every array has a leading n."""

    spec: RobotSpec
    count: int

    def connect(self) -> None:
        """As `Robot.connect`."""
        ...

    def reset(self, mask: Bool, starts: Start) -> RobotState:
        """Restart the arms of mask (n,); `starts` has n rows, the others are ignored. Returns all n states."""
        ...

    def exchange(self, commands: Command, mask: Bool | None = None) -> RobotState:
        """Order all arms, or those of mask; returns all n states."""
        ...

    def set_compliance(self, compliance: Compliance) -> None:
        """As `Robot.set_compliance`, for all arms."""
        ...

    def close(self) -> None:
        """As `Robot.close`."""
        ...


@runtime_checkable
class SceneSource(Protocol):
    """Tells where objects are: simulator truth, a camera's estimate, or what a human taught."""

    names: tuple[str, ...]  # of the objects it can tell of; known before anything is connected

    def observe(self) -> Scene:
        """The newest scene."""
        ...


@runtime_checkable
class Camera(Protocol):
    """Latest value: a new frame overwrites the old one."""

    spec: CameraSpec

    def connect(self) -> None:
        """Open the device. Raises MissingSystem, MissingExtra."""
        ...

    def read(self) -> Frame:
        """The newest frame."""
        ...

    def close(self) -> None:
        """Release the device."""
        ...


class RawSample(NamedTuple):
    """One row of a stream as the device gives it: full rate, full resolution."""

    number: int  # grows by one with each sample of the device: where it grows by more, some were lost
    time: float  # s, on the clock of the robot it belongs to
    columns: Mapping[str, NDArray[Any]]  # each of the same shape and dtype in all samples; never written again


@runtime_checkable
class RawSource(Protocol):
    """History: what a device says faster, or in more detail, than an observation tells; for who records it.

    It is read on the recorder's thread alone, and costs who moves the robot nothing that could be felt.
    """

    name: str  # of the stream, such as "wrist"
    rate: float  # Hz, about

    @property
    def newest(self) -> int:
        """Number of the newest sample; -1 before the first. At once, and from any thread."""
        ...

    def read(self, after: int, timeout: float) -> RawSample | None:
        """The oldest sample there is with a number above `after` (-1: any), waiting `timeout` s for it; None: none came."""
        ...


class Window(Protocol):
    """Shows a person what the robot does."""

    def connect(self) -> None:
        """Open it. Raises MissingSystem where there is no display."""
        ...

    def refresh(self) -> None:
        """Show the newest state."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


R = TypeVar("R", Robot, RobotBatch)


@dataclass(frozen=True, slots=True, eq=False)
class Cell(Generic[R]):
    """A robot, or a batch of them, with the things around it, as a backend builds it."""

    robot: R
    scene: SceneSource
    cameras: Mapping[str, Camera]
    view: Camera | None = None  # a larger picture for people
    window: Window | None = None  # where people watch live
    raw: tuple[RawSource, ...] = ()  # streams as the devices give them

    def connect(self, cameras: Iterable[str], render_mode: str | None) -> None:
        """Connect the robot, the cameras named, and what the render mode needs. May be called again."""
        self.robot.connect()
        for name in cameras:
            self.cameras[name].connect()
        if render_mode == "rgb_array" and self.view is not None:
            self.view.connect()
        if render_mode == "human" and self.window is not None:
            self.window.connect()

    def close(self) -> None:
        """Stop the robot and let go of everything. May be called twice."""
        with ExitStack() as stack:  # the robot first, and every device, whatever another one raises
            for device in (*self.cameras.values(), self.view, self.window, self.robot):
                if device is not None:
                    stack.callback(device.close)


class Backend(Protocol):
    """Builds a cell without any I/O. Options of its own, such as an address or a time step, are further keyword arguments."""

    def __call__(self, spec: RobotSpec, task: Task, control: str, **options: Any) -> Cell[Robot]:
        """Build it. Raises BadOption, MissingExtra."""
        ...


class BatchBackend(Protocol):
    """Builds a cell with `count` equal robots without any I/O."""

    def __call__(self, spec: RobotSpec, task: Task, control: str, count: int, **options: Any) -> Cell[RobotBatch]:
        """Build it. Raises BadOption, MissingExtra."""
        ...


class TeleopOrder(NamedTuple):
    """What a human wants now."""

    action: F32  # (action,) in [-1, 1]
    active: bool  # the human has taken over
    success: bool | None = None  # the human's verdict, if given
    terminate: bool = False
    rerecord: bool = False
    source: str = ""  # which device acts, where there are several


@runtime_checkable
class Teleop(Protocol):
    """A device, or a scripted human, that can take over."""

    def connect(self) -> None:
        """Open the device."""
        ...

    def reset(self) -> None:
        """A new episode begins."""
        ...

    def read(self, state: RobotState) -> TeleopOrder:
        """The newest order; never blocks."""
        ...

    def close(self) -> None:
        """Release the device."""
        ...
