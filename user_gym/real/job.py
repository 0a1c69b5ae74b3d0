"""What a worker process is told at its start, and the records that it exchanges with its parent. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from user_gym import errors
from user_gym.core import Lease, RobotSpec, RobotState, Workspace
from user_gym.errors import BadOption, RobotFault, UserGymError
from user_gym.real.driver import Clock
from user_gym.real.guard import Thresholds


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One arm to drive."""

    name: str  # for people: of the device, else of the spec
    driver: str  # "module:Class" of a Driver
    spec: RobotSpec
    control: str
    address: str
    clock: Clock  # not connected
    workspace: Workspace
    period: float  # s
    moves_gripper: bool
    objects: tuple[str, ...] = ()  # of the task, in the order of Start.objects
    twin: str | None = None  # side address; None: a real arm
    thresholds: Thresholds = field(default_factory=Thresholds)
    stale: float | None = 1.0  # s without an order after which the arm holds; None: time stands still between orders
    approach_speed: float = 0.1  # m/s
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])  # further ones of the driver
    parent: int = 0  # process id of who starts the worker, which ends with it; set by `driver_process`
    shared: Shared | None = None  # the lease that the worker keeps as long as it lives; set there, too

    def unlike(self, other: Job) -> BadOption | None:
        """Why a driver that was built for this job cannot do another one; None: it can."""
        for name, mine, wanted in (
            ("robot", self.spec.name, other.spec.name),
            ("address", self.address, other.address),
            ("twin", self.twin, other.twin),
            ("driver", self.driver, other.driver),
            ("driver_options", _written(self.options), _written(other.options)),
            ("control", self.control, other.control),
            ("clock", type(self.clock).__name__, type(other.clock).__name__),
        ):
            if mine != wanted:
                cure = "take it over as it is, then close() it; or user-gym stop --release, which lets go of the arm"
                return BadOption(name, wanted, f"{mine!r} while {self.name} is held by the driver that was built so", cure)
        return None


class Shared(NamedTuple):
    """A lease that a process shares with the one that started it."""

    lease: Lease
    descriptor: int  # of the lock, with the same number in both


def _written(options: Mapping[str, Any]) -> str:
    """For comparison: values may be arrays."""
    return ", ".join(f"{name}={options[name]!r}" for name in sorted(options))


class Request(NamedTuple):
    """Parent to worker."""

    number: int
    verb: str  # "connect" | "reset" | "exchange" | "compliance" | "close"; "attend" has no reply
    argument: Any = None
    stops: int = 0  # an operator's that the parent was told of so far; a reset undoes no others


class Reply(NamedTuple):
    """Worker to parent."""

    number: int  # of the request
    state: RobotState | None = None
    clipped: bool = False  # the guard changed the order
    overruns: int = 0  # of the clock, so far
    error: tuple[str, str] | None = None  # class of user_gym.errors and message
    stops: int = 0  # an operator's that the error tells of


def described(error: UserGymError) -> tuple[str, str]:
    """An error as data: exceptions with their own constructors do not survive pickle."""
    return type(error).__name__, str(error)


def raised(error: tuple[str, str]) -> UserGymError:
    """The error again, to be raised."""
    name, message = error
    kind = getattr(errors, name, RobotFault)
    if "__init__" not in vars(kind):
        return kind(message)
    found: UserGymError = kind.__new__(kind)  # its constructor would make a message of its parts
    found.args = (message,)
    return found
