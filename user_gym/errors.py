"""One error tree. Every deliberate error of user_gym is a `UserGymError`, and each also inherits the
standard class that a caller would expect.

    UserGymError
    +-- UnknownName        KeyError       a robot, task, backend, view column ... that nobody registered
    +-- BadOption          ValueError     an option, shape or number outside what is allowed
    |   +-- WrongWeights                  weights of another network than the policy has
    +-- BadAction          ValueError     an action of the wrong shape, or with NaN or infinity in it
    +-- BadChunk           ValueError     columns of experience that do not fit together
    +-- BadBlock           ValueError     bytes of stored experience that are damaged, cut short or not ours
    +-- WrongRun           ValueError     a run folder that belongs to another configuration
    +-- NotReset           RuntimeError   step before reset
    +-- Closed             RuntimeError   use after close
    +-- MissingExtra       ImportError    an optional part of user_gym is not installed
    +-- MissingSystem      RuntimeError   a system package (EGL, a display) is not installed
    +-- Unreachable        RuntimeError   no pose of the arm reaches what was asked
    +-- NoRobot            LookupError    no robot is free, healthy and able to do the task
    +-- Busy               RuntimeError   a device or a buffer is in another owner's hands
    +-- PeerLost           ConnectionError  another process of the run is gone, gave up, or does not answer
    +-- Gone               LookupError    steps that left the buffer while they were asked for
    +-- NoSpace            OSError        the disk has no room for what was to be stored; nothing of it was
    +-- Unwritable         PermissionError  a buffer that may be read only, or whose files may not be written
    +-- NotApproved        PermissionError  a policy that no operator has let drive this arm yet
    +-- NotAdmitted        PermissionError  an edge that a hub does not let in
    +-- RobotFault         RuntimeError   the robot itself refused or stopped
        +-- Reflex         RuntimeError   a protective stop of the robot; it needs recovery before it moves again
        +-- LinkLost       ConnectionError  no answer from the robot; the link has to be built anew
        +-- Stopped        RuntimeError   an operator, a watchdog or a limit of the driver stopped it
            +-- Halted     RuntimeError   a person did; nothing may move it again by itself

A message names the thing, the value, what is allowed and the cure.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserGymError(Exception):
    """Root of the tree."""

    def __str__(self) -> str:  # KeyError would print the repr of its message
        return str(self.args[0]) if self.args else ""


def nearest(name: object, known: Iterable[str]) -> str:
    """A question for who mistyped a name; "" where no known one is like it. Dashes before options do not make them alike."""
    bare = {one.lstrip("-"): one for one in known}
    close = get_close_matches(str(name).lstrip("-"), bare, n=1)
    return f"did you mean {bare[close[0]]!r}?" if close else ""


class UnknownName(UserGymError, KeyError):
    """A name that is not registered."""

    def __init__(self, kind: str, name: object, known: Iterable[str], cure: str = "") -> None:
        known = sorted(known)
        said = [f"unknown {kind} {name!r}", f"known: {', '.join(known) or 'none'}", nearest(name, known), cure]
        super().__init__("; ".join(filter(None, said)))


class BadOption(UserGymError, ValueError):
    """An option with a value that is not allowed."""

    def __init__(self, name: str, value: object, allowed: str, cure: str = "") -> None:
        super().__init__(f"bad {name} {value!r}; allowed: {allowed}{'; ' if cure else ''}{cure}")


class WrongWeights(BadOption):
    """Weights of another network than the policy has: no later version of them will fit either."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__("spec_hash", found, repr(wanted), "weights and policy belong to different networks")


class BadAction(UserGymError, ValueError):
    """An action that no robot may be given."""


class BadChunk(UserGymError, ValueError):
    """Columns of experience that do not fit together."""


class BadBlock(UserGymError, ValueError):
    """Bytes of stored experience that are damaged, cut short or of another format."""

    def __init__(self, what: str, value: object, allowed: str, offset: int | None = None, cure: str = "") -> None:
        where = "" if offset is None else f" at byte {offset}"
        shown = repr(value)
        shown = shown if len(shown) <= 80 else f"{shown[:77]}..."  # foreign bytes: a message never repeats all of them
        super().__init__(f"bad block: {what}{where} is {shown}; allowed: {allowed}{'; ' if cure else ''}{cure}")


class WrongRun(UserGymError, ValueError):
    """A run folder that was made with another configuration."""


class NotReset(UserGymError, RuntimeError):
    """`step` or `render` was called before `reset`."""


class Closed(UserGymError, RuntimeError):
    """Something was used after it was closed."""


class MissingExtra(UserGymError, ImportError):
    """An optional part is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module!r} is not installed; it comes with the extra {extra!r}: pip install 'user-gym[{extra}]'")


class MissingSystem(UserGymError, RuntimeError):
    """A system package is missing; the message names the packages."""


class Unreachable(UserGymError, RuntimeError):
    """No joint position of the arm gives the pose that was asked for."""


class NotApproved(UserGymError, PermissionError):
    """No operator has let this policy drive this arm yet; the message says how to."""


class NotAdmitted(UserGymError, PermissionError):
    """A hub does not let this edge in, or not do this; trying again does not help, a person has to look."""


class RobotFault(UserGymError, RuntimeError):
    """The robot refused an order or stopped by itself."""


class Reflex(RobotFault):
    """The robot stopped to protect itself or others; it refuses motions until it is told to recover."""


class LinkLost(RobotFault, ConnectionError):
    """The robot does not answer any more; the connection has to be built anew."""


class Stopped(RobotFault):
    """An operator, the watchdog or one of the driver's own limits stopped the robot."""


class Halted(Stopped):
    """A person stopped the robot: only another order of a person, such as a reset that names it, moves it again."""


class NoRobot(UserGymError, LookupError):
    """No robot is free, healthy and able to do the task; the message lists every candidate and why not."""


class Busy(UserGymError, RuntimeError):
    """A device or a buffer is in another owner's hands; the message names the owner."""


class PeerLost(UserGymError, ConnectionError):
    """Another process of the run is gone, gave up, or does not answer in time; the message says which and for how long."""


class Gone(UserGymError, LookupError):
    """Steps that were pruned or quarantined while somebody asked for them; draw others."""


class NoSpace(UserGymError, OSError):
    """The disk has no room; nothing was stored, and the same append works when there is room."""


class Unwritable(UserGymError, PermissionError):
    """Something was to be written that is open for reading only, or whose files may not be written."""
