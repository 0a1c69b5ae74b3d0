"""What the drivers of both Franka arms share: options, the way in, words for faults, one tick as a RobotState.

It imports no vendor package, and knows neither of the two protocols' bytes nor how a motion is run.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from user_gym.core import F64, Command, Compliance, RobotSpec, RobotState
from user_gym.errors import BadAction, BadOption, Halted, LinkLost, MissingSystem, Reflex, RobotFault
from user_gym.robots import compliance as compliances
from user_gym.robots import kinematics, pose

POSTURE_STIFFNESS = 10.0  # N m/rad in the null space: without it 60 s of a random policy turn q3 by 1.5 rad
CALL = 10.0  # s, for a vendor's call that should take none
REALTIME = ("auto", "enforce", "ignore")

_KERNEL = Path("/sys/kernel/realtime")  # holds "1" where the kernel is PREEMPT_RT
_NAMES = re.compile(r"\[([^\]]*)\]")
_LINK = ("UDP", "TCP", "connection", "Connection", "Timeout", "timeout", "network", "Network", "multiple motions")


@dataclass(frozen=True, slots=True)
class Load:
    """What the gripper holds, for the robot's own gravity compensation."""

    mass: float  # kg
    com: tuple[float, ...]  # (3,) m, from the flange
    inertia: tuple[float, ...]  # (9,) kg m2, about the centre of mass


@dataclass(frozen=True, slots=True)
class Options:
    """How to drive a Franka, beyond what its spec says. Build it with `options`."""

    load: Load | None
    realtime: str
    force_threshold: float  # N, per axis: more contact than this is a reflex
    torque_threshold: float  # N m, per joint
    gripper: bool  # False: no hand is mounted, or it is somebody else's
    patience: float  # s of the wall's time that one blocking call of the vendor's client may take


def options(
    control: str,
    load: Sequence[object] | None,
    realtime: str,
    force_threshold: float,
    torque_threshold: float,
    gripper: bool,
    patience: float,
) -> Options:
    """Check the options. Raises BadOption."""
    if control not in ("tcp", "joint"):
        raise BadOption("control", control, "tcp | joint")
    if realtime not in REALTIME:
        raise BadOption("realtime", realtime, " | ".join(REALTIME))
    for name, value in (("force_threshold", force_threshold), ("torque_threshold", torque_threshold), ("patience", patience)):
        if not (isinstance(value, int | float) and 0 < value < np.inf):
            raise BadOption(name, value, "a positive number")
    return Options(_load(load), realtime, float(force_threshold), float(torque_threshold), bool(gripper), float(patience))


def _load(load: Sequence[object] | None) -> Load | None:
    if load is None:
        return None
    allowed = "(mass kg, centre of mass of 3 m, inertia of 9 kg m2), all finite, mass >= 0"
    try:
        mass, com, inertia = load
        checked = Load(
            float(np.asarray(mass, float)),
            tuple(np.asarray(com, float).ravel().tolist()),
            tuple(np.asarray(inertia, float).ravel().tolist()),
        )
    except (TypeError, ValueError) as error:
        raise BadOption("load", load, allowed) from error
    fits = len(checked.com) == 3 and len(checked.inertia) == 9 and checked.mass >= 0
    if not (fits and np.isfinite([checked.mass, *checked.com, *checked.inertia]).all()):
        raise BadOption("load", load, allowed)
    return checked


def enforce_realtime(realtime: str, address: str) -> bool:
    """Whether the client shall insist on a real-time kernel. A twin on this machine needs none, a real arm does.

    Raises:
        MissingSystem: "auto", a robot elsewhere, and this kernel is not PREEMPT_RT.
    """
    if realtime != "auto":
        return realtime == "enforce"
    if _KERNEL.exists() and _KERNEL.read_text().strip() == "1":
        return True
    if _loopback(address):
        return False
    raise MissingSystem(
        f"this kernel is not PREEMPT_RT, and the robot at {address} must hear from it every millisecond; install a "
        "real-time kernel, or accept that it stops with 'communication_constraints_violation': realtime='ignore'"
    )


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


class Call:
    """A vendor's call that may block for a minute, in a thread of its own. It ends by itself, whoever still waits for it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._value: Any = None
        self._error: Exception | None = None
        self._over = threading.Event()
        threading.Thread(target=self._work, args=(call,), name="franka-call", daemon=True).start()

    def _work(self, call: Callable[[], Any]) -> None:
        try:
            self._value = call()
        except Exception as error:  # top of a thread; raised by result
            self._error = error.with_traceback(None)
        self._over.set()

    @property
    def over(self) -> bool:
        """Whether `result` is there."""
        return self._over.is_set()

    def result(self, what: str, address: str) -> Any:
        """What the call gave; to be had once. Raises what it did, or LinkLost where it is not over after some seconds."""
        if not self._over.wait(CALL):
            raise LinkLost(f"no {what} answers at {address} within {CALL} s; check the address and the cable")
        value, self._value = self._value, None
        try:
            if self._error is not None:
                raise self._error
        finally:
            self._error = None  # a cycle of error and frames would keep the client alive, and the box serves one at a time
        return value


def fault(error: Exception, robot: str, address: str) -> RobotFault:
    """What a vendor's exception means, by libfranka's words: the clients' exception types have no common root."""
    text = str(error).removeprefix("libfranka: ").strip()
    here = f"{robot} at {address}"
    if "ncompatible" in text or "protocol version" in text or "server version" in text:
        return RobotFault(
            f"{here} speaks another version of FCI: {text}; install the client that fits the robot's system image"
        )
    if "reflex" in text.lower():
        names = ", ".join(name.strip(' "') for name in ",".join(_NAMES.findall(text)).split(",") if name.strip(' "'))
        return Reflex(f"{here} stopped by itself: {names or text}; reset() makes it ready again")
    if "user stop" in text.lower() or "UserStopped" in text:
        return user_stop(robot, address)
    if "refused" in text or "Connection timeout" in text:
        return LinkLost(
            f"no robot answers at {address} for {robot}: {text}; check the address and the cable; a twin: user-gym twin"
        )
    if any(word in text for word in _LINK):
        return LinkLost(f"{here} does not answer any more: {text}; reset() builds the link anew")
    return RobotFault(f"{here}: {text}")


def user_stop(robot: str, address: str) -> Halted:
    """A person pressed the button."""
    return Halted(f"{robot} at {address} was stopped by its user stop; a person has to look, and to release the button")


def stuck(mode: str, robot: str, address: str) -> RobotFault:
    """A robot that was asked to recover, and stays in the mode of its fault."""
    if "UserStopped" in mode:
        return user_stop(robot, address)
    return RobotFault(
        f"{robot} at {address} cannot recover from its reflex by itself; free it by hand, or unlock it in its Desk"
    )


def refuse_mode(mode: str, robot: str, address: str) -> None:
    """Raise what a robot's mode means where it should be ready: its last word, as libfranka spells it."""
    if "UserStopped" in mode:
        raise user_stop(robot, address)
    if "Reflex" in mode:
        raise Reflex(f"{robot} at {address} is in a reflex from before; reset() makes it ready again")
    if "Guiding" in mode:
        raise RobotFault(f"{robot} at {address} is being guided by hand; let go of its buttons")
    if "Idle" not in mode and "Move" not in mode:
        raise RobotFault(
            f"{robot} at {address} is in mode {mode}; allowed: Idle; look at its Desk: locked brakes, or FCI is off"
        )


def check_tool(spec: RobotSpec, flange_to_tool: F64, address: str) -> None:
    """Refuse a robot whose end effector (4, 4) is not the spec's: it would compute forces and poses of another point."""
    expected = pose.compose(spec.flange, spec.tcp)
    last = np.array([0.0, 0.0, 0.107])  # FCI's flange lies there in the last link; our spec counts from the link
    point, turn = flange_to_tool[:3, 3], flange_to_tool[:3, :3]
    off = np.abs(point - (expected[:3] - last)).max()
    tilt = np.abs(turn - pose.matrix(expected[3:])).max()
    if off > 1e-3 or tilt > 1e-2:
        raise RobotFault(
            f"{spec.name} at {address} has its end effector {np.round(point, 4)} m from the flange; the spec's is "
            f"{np.round(expected[:3] - last, 4)} m, turned by -45 degrees; choose 'Franka Hand' in the robot's Desk"
        )


def assemble(spec: RobotSpec, time: float, q: F64, dq: F64, tau: F64, wrench: F64, gripper: float) -> RobotState:
    """One tick. The TCP's pose and velocity come from the joints: the robot's own velocity is zero under torque control."""
    tool = kinematics.linearise(spec, q)
    tcp = pose.to_chart(np.concatenate([tool.point, pose.from_matrix(tool.turn)]))
    return RobotState(
        time=np.float64(time),  # pyright: ignore[reportArgumentType]
        q=q,
        dq=dq,
        tau=tau,
        tcp=tcp,
        velocity=tool.jacobian @ dq,
        wrench=wrench,
        gripper=np.float64(gripper),  # pyright: ignore[reportArgumentType]
    )


def order(command: Command, control: str, spec: RobotSpec) -> F64:
    """The order's numbers, (6,) or (dof,). Raises BadAction where it is of the other kind, or not finite."""
    wanted, other = (command.tcp, command.joints) if control == "tcp" else (command.joints, command.tcp)
    size = 6 if control == "tcp" else spec.dof
    if wanted is None or other is not None or wanted.shape != (size,):
        raise BadAction(f"an order for {spec.name} under {control} control is {control!r} alone, of shape {(size,)}")
    if not (np.isfinite(wanted).all() and np.isfinite(command.gripper)):
        raise BadAction(f"order {wanted}, gripper {command.gripper} for {spec.name}; allowed: finite numbers")
    return wanted


def check_compliance(compliance: Compliance, control: str) -> None:
    """Raises BadOption, as `Robot.set_compliance` says."""
    if control == "joint":
        raise BadOption("control", control, "'tcp' to set a Cartesian compliance", "make the environment with control='tcp'")
    compliances.check(compliance)


def bad_speed(speed: float) -> BadOption:
    """A speed that is none."""
    return BadOption("speed", speed, "a positive number of m/s")
