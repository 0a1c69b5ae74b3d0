"""What the child of a Rig can be told to do with a driver. Every function is a scene: plain data in, plain data out."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from user_gym.core import Command, Compliance, RobotState
from user_gym.errors import Stopped
from user_gym.real.clock import WallClock
from user_gym.robots import reach, specs
from user_gym.robots.gate import GateClock
from user_gym.robots.side import Side

PERIOD = 0.1  # s
PATIENCE = 8.0  # s of the wall's time for one period
START = np.array([0.5, 0.0, 0.25, 0.0, 0.0, 0.0])  # well above the board
_ROBOT = {"franky": "franka-fr3", "panda": "franka-fer"}


def _driver(vendor: str, address: str, clock: Any, control: str = "tcp", **options: Any) -> Any:
    if vendor == "franky":
        from user_gym.real.franka.franky_driver import FrankyDriver as Driver
    else:
        from user_gym.real.franka.panda_driver import PandaDriver as Driver
    return Driver(specs.SPECS[_ROBOT[vendor]], control, address, clock, **options)


@contextmanager
def _gated(vendor: str, address: str, control: str = "tcp", **options: Any) -> Iterator[tuple[Any, Side]]:
    clock, side = GateClock(f"{address}:1339", PATIENCE), Side(f"{address}:1339")
    clock.connect()
    side.connect()
    driver = _driver(vendor, address, clock, control, **options)
    try:
        driver.connect()
        yield driver, side
    finally:
        driver.close()
        side.close()
        clock.close()


def _at(driver: Any, tcp: Any) -> RobotState:
    driver.move([np.asarray(tcp, float)], 0.2)
    return driver.begin()


def _follow(driver: Any, tcp: Any, periods: int, gripper: float = 0.0) -> RobotState:
    state = None
    for _ in range(periods):
        state = driver.exchange(Command(gripper=gripper, tcp=np.asarray(tcp, float)), PERIOD)
    assert state is not None
    return state


def _error(call: Any) -> tuple[str, str]:
    try:
        call()
    except Exception as error:
        return type(error).__name__, str(error)
    return "", ""


def foreign(address: str) -> dict[str, Any]:
    """Drive another project's server, on the wall's time."""
    driver = _driver("franky", address, WallClock())
    driver.connect()
    driver.move([START], 0.2)
    near = driver.measure()
    state = driver.begin()
    target = state.tcp.copy()
    for _ in range(10):
        target[2] -= 0.01
        state = driver.exchange(Command(gripper=1.0, tcp=target), PERIOD)
    followed = state
    driver.hold()
    held = driver.measure()
    driver.hand.wait(5.0)
    opened = driver.measure().gripper
    driver.close()
    rest = reach.solve(driver.spec, START)
    return {
        "reached": near.tcp - START,
        "posture": near.q - rest,
        "followed": followed.tcp - target,
        "time": float(followed.time),
        "held": held.velocity,
        "opened": float(opened),
    }


def refused(vendor: str, address: str, options: dict[str, Any]) -> tuple[str, str]:
    """What connect() says, and how long it took to."""
    driver = _driver(vendor, address, WallClock(), **options)
    told = _error(driver.connect)
    driver.close()
    return told


def follow(vendor: str, address: str) -> dict[str, Any]:
    """Reset, then small orders in every direction."""
    with _gated(vendor, address) as (driver, _):
        start = START + [0.02, -0.02, 0, 0, 0, 0.3]
        driver.move([start], 0.2)
        before, rest = driver.measure(), reach.solve(driver.spec, start)
        first = driver.begin()
        target = start + [0.01, 0.015, -0.02, 0.0, 0.05, -0.1]
        state = _follow(driver, target, 15)
        driver.hold()
        held = driver.measure()
        return {
            "reset": before.tcp - start,
            "posture": before.q - rest,
            "begun": float(first.time),
            "first": first.tcp - start,
            "time": float(state.time),
            "tracked": state.tcp - target,
            "velocity": state.velocity,
            "held": np.abs(held.dq).max(),
            "drift": held.tcp - state.tcp,
            "tau": state.tau,
        }


def cruise(vendor: str, address: str, axis: int) -> dict[str, Any]:
    """A far order: the clip bounds the speed to K clip / D."""
    with _gated(vendor, address) as (driver, _):
        first = _at(driver, START + [-0.05 if axis < 2 else 0.0, 0, 0.1 if axis == 2 else 0, 0, 0, 0])
        far = first.tcp.copy()
        far[axis] += -0.3 if axis == 2 else 0.3
        state = first
        for _ in range(50):
            state = driver.exchange(Command(gripper=0.0, tcp=far), 0.01)
        again = driver.exchange(Command(gripper=0.0, tcp=far), 0.1)
        return {"speed": (again.tcp - state.tcp)[axis] / 0.1, "velocity": again.velocity[axis]}


def press(vendor: str, address: str, depths: list[float], softer: float = 1.0) -> list[np.ndarray]:
    """Peg on the board, orders so many m below the contact; the wrench and the real depth of each."""
    with _gated(vendor, address) as (driver, _):
        first = _at(driver, [0.54, 0.04, 0.12, 0, 0, 0])
        target = first.tcp.copy()
        if softer != 1.0:
            c = driver.spec.compliance
            driver.set_compliance(Compliance(c.stiffness * softer, c.damping, c.error_clip))
        state = first
        while state.wrench[2] < 1.0 and target[2] > 0.05:
            target[2] -= 0.002
            state = _follow(driver, target, 1)
        contact = state.tcp[2]
        out = []
        for depth in depths:
            target[2] = contact - depth
            state = _follow(driver, target, 12)
            out.append(np.concatenate([state.wrench, state.tcp - target]))
        return out


def random_policy(vendor: str, address: str, steps: int, stall: float = 0.0) -> dict[str, Any]:
    """A hash over q and dq of every policy step of random orders, and how far the elbow swung."""
    digest = hashlib.sha256()
    rng = np.random.default_rng(3)
    with _gated(vendor, address) as (driver, _):
        first = _at(driver, START)
        elbow, state = [first.q[2]], first
        began = time.perf_counter()
        for i in range(steps):
            order = START + rng.uniform(-1, 1, 6) * [0.03, 0.03, 0.03, 0.02, 0.02, 0.2]
            state = driver.exchange(Command(gripper=0.0, tcp=order), PERIOD)
            if stall and i == steps // 2:
                time.sleep(stall)
            digest.update(state.q.tobytes() + state.dq.tobytes() + state.wrench.tobytes() + np.float64(state.time).tobytes())
            elbow.append(state.q[2])
        rate = steps / (time.perf_counter() - began)
        driver.move([START + [0, 0, 0.02, 0, 0, 0], START], 0.2)
        driver.begin()
        state = _follow(driver, START + [0.01, 0, 0, 0, 0, 0], 3)
        digest.update(state.q.tobytes() + state.dq.tobytes())
        return {"hash": digest.hexdigest(), "elbow": float(np.ptp(elbow)), "rate": rate, "last": state.q}


def joints(vendor: str, address: str) -> dict[str, Any]:
    """Joint control."""
    with _gated(vendor, address, "joint") as (driver, _):
        first = _at(driver, START)
        target = first.q + [0.05, -0.05, 0.05, 0.05, 0.1, 0.1, 0.2]
        state = first
        for _ in range(20):
            state = driver.exchange(Command(gripper=0.0, joints=target), PERIOD)
        wrong = _error(lambda: driver.exchange(Command(gripper=0.0, tcp=START), PERIOD))
        soft = _error(lambda: driver.set_compliance(driver.spec.compliance))
        return {"off": state.q - target, "wrong": wrong, "soft": soft}


def hand(vendor: str, address: str) -> dict[str, Any]:
    """Open, and close again, while the arm follows."""
    with _gated(vendor, address) as (driver, _):
        first = _at(driver, START)
        opened = _follow(driver, START, 20, gripper=1.0)
        closed = _follow(driver, START, 20, gripper=0.0)
        return {"first": float(first.gripper), "opened": float(opened.gripper), "closed": float(closed.gripper)}


def miss(vendor: str, address: str, fault: dict[str, Any]) -> dict[str, Any]:
    """The hand fails; the arm goes on."""
    with _gated(vendor, address) as (driver, side):
        _at(driver, START)
        side.ask("fault", **fault)
        state = _follow(driver, START, 20, gripper=1.0)
        state = _follow(driver, START, 20, gripper=0.0)
        driver.hand.wait(5.0)
        side.ask("heal")
        return {"failure": driver.hand.failure, "time": float(state.time)}


def fault(vendor: str, address: str, fault: dict[str, Any], heal: bool = True) -> dict[str, Any]:
    """Inject a fault while the arm follows; then recover and go on."""
    with _gated(vendor, address) as (driver, side):
        _at(driver, START)
        _follow(driver, START, 2)
        side.ask("fault", **fault)
        out: dict[str, Any] = {}
        began = time.monotonic()
        out["told"] = _error(lambda: _follow(driver, START + [0, 0, -0.02, 0, 0, 0], 3))
        out["after"] = time.monotonic() - began
        out["again"] = _error(lambda: driver.exchange(Command(gripper=0.0, tcp=START), PERIOD))
        driver.hold()
        out["unhealed"] = _error(driver.recover) if not heal else ("", "")
        side.ask("heal")
        driver.recover()
        still = driver.measure()
        out["still"] = float(np.abs(still.dq).max())
        driver.move([START], 0.2)
        driver.begin()
        out["off"] = _follow(driver, START + [0, 0, -0.01, 0, 0, 0], 10).tcp - (START + [0, 0, -0.01, 0, 0, 0])
        return out


def die(vendor: str, address: str, how: str) -> None:
    """Follow orders at speed, then end the process in the middle of it."""
    with _gated(vendor, address) as (driver, side):
        _at(driver, START)
        far = START + [0.0, 0.0, -0.1, 0, 0, 0]
        _follow(driver, far, 1)
        if how == "paced":
            side.ask("mode", mode="paced")
        os._exit(9)


class _Stopper:
    """A clock that wants the arm to stop once half a second of the robot's time has passed."""

    def __init__(self, clock: Any, side: Side) -> None:
        self._clock, self._side = clock, side
        self._until = side.ask("hello").header["time"] + 0.5

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    def check(self) -> None:
        if self._side.ask("hello").header["time"] > self._until:
            raise Stopped("an operator said stop")


def stop(vendor: str, address: str) -> dict[str, Any]:
    """Somebody wants the arm to stop while it goes to a start; then it goes there after all."""
    with _gated(vendor, address) as (driver, side):
        driver.move([START], 0.2)
        clock, driver._clock = driver._clock, _Stopper(driver._clock, side)
        away = [START + [0, 0, 0.1, 0, 0, 0], START + [0, 0.1, 0.1, 0, 0, 0]]
        told = _error(lambda: driver.move(away, 0.05))
        stopped, motion = driver.measure(), side.ask("hello").header["motion"]
        driver._clock = clock
        driver.hold()
        driver.move(away, 0.2)
        return {
            "told": told,
            "motion": motion,
            "speed": np.abs(stopped.dq).max(),
            "off": stopped.tcp - START,
            "then": driver.measure().tcp - away[-1],
        }


def look(vendor: str, address: str) -> float:
    """How fast the arm is, after somebody else drove it; a paced twin is given two seconds to stop, a gated one none."""
    side = Side(f"{address}:1339")
    side.connect()
    if side.ask("hello").header["mode"] == "paced":
        until = side.ask("hello").header["time"] + 2.0
        while side.ask("hello").header["time"] < until:
            time.sleep(0.01)
    side.ask("mode", mode="gated")
    side.close()
    with _gated_after_death(vendor, address) as driver:
        return float(np.abs(driver.measure().dq).max())


@contextmanager
def _gated_after_death(vendor: str, address: str) -> Iterator[Any]:
    driver = _driver(vendor, address, WallClock())
    if _error(driver.connect)[0] == "Reflex":
        driver.recover()
    yield driver
    driver.close()


def left(vendor: str, address: str) -> float:
    """Close in the middle of a motion; how fast the arm is when somebody looks again."""
    with _gated(vendor, address) as (driver, _):
        _at(driver, START)
        _follow(driver, START + [0, 0, -0.1, 0, 0, 0], 1)
    with _gated(vendor, address) as (driver, _):
        return float(np.abs(driver.measure().dq).max())


def unreachable(vendor: str, address: str) -> tuple[tuple[str, str], float]:
    """A pose out of reach moves nothing."""
    with _gated(vendor, address) as (driver, _):
        before = driver.measure()
        told = _error(lambda: driver.move([START, START + [2.0, 0, 0, 0, 0, 0]], 0.1))
        return told, float(np.abs(driver.measure().q - before.q).max())
