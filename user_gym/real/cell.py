"""How the registry builds a cell with a real arm, or with a protocol twin behind the same driver. It opens nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from user_gym.core import F64, Cell, Device, Robot, RobotSpec, Task
from user_gym.core.numbers import real
from user_gym.errors import BadOption
from user_gym.real import asked
from user_gym.real.clock import WallClock
from user_gym.real.guard import Guard, Thresholds
from user_gym.real.job import Job
from user_gym.real.patience import Patience
from user_gym.real.robot import RealRobot
from user_gym.real.station import Station, StationCamera, StationScene, Wish
from user_gym.robots import approval, dynamics
from user_gym.robots.gate import GateClock
from user_gym.robots.side import endpoint

DRIVERS: Mapping[str, str] = {  # by name, else by family
    "franka-fr3": "user_gym.real.franka.franky_driver:FrankyDriver",
    "franka-fer": "user_gym.real.franka.panda_driver:PandaDriver",
    "arx": "user_gym.real.arx.driver:ArxDriver",
}
CLOCKS = ("gate", "wall")
_VIEW = 480  # pixels
_STARTS = 256  # drawn to learn where a task's objects nominally stand


def build(
    spec: RobotSpec,
    task: Task,
    control: str,
    address: str | None = None,
    twin: str | None = None,
    device: str | None = None,
    clock: str | None = None,
    driver: str | None = None,
    driver_options: Mapping[str, Any] | None = None,
    cameras: Mapping[str, str] | None = None,
    camera_options: Mapping[str, Any] | None = None,
    stale: float = 1.0,
    approach_speed: float = 0.1,
    force: float = 60.0,
    torque: float = 15.0,
    policy: str = approval.ANY,
    approve: bool = False,
    adopt: bool = True,
) -> Cell[Robot]:
    """A cell with one real arm.

    Args:
        spec: the arm.
        task: what is to be done.
        control: "tcp" or "joint".
        address: of the arm: an IP address or a CAN bus; None: one of the inventory, chosen by `reset`.
        twin: side address of a protocol twin at `address`; None: real hardware.
        device: id of the inventory's entry; None: any that fits.
        clock: "gate": a twin's time passes only within a step; "wall"; None: the gate of a twin, else the wall.
        driver: "module:Class" of a Driver; None: ours for this arm.
        driver_options: of the driver, such as `load`; they come before those of the inventory.
        cameras: "kind:address" by name; None: the inventory's.
        camera_options: of all real cameras, such as `max_age`.
        stale: s without an order after which the arm holds and refuses orders until the next reset; only on the wall's time.
        approach_speed: m/s on the way to a start.
        force: N of contact, mean over a period, that stop the arm.
        torque: N m of contact that stop the arm.
        policy: hash of the policy that will drive the arm; the first time, an operator has to approve.
        approve: the operator does.
        adopt: an arm without brakes that is named, by `address` or `device`, is taken over from the driver process that still
            holds it after a program of this user has died; False: refused until an operator releases it.

    Raises:
        BadOption: a value is not allowed, or nobody knows a driver for this arm.
    """
    for name, value, example in (
        ("address", address, "172.16.0.2"), ("twin", twin, "127.0.0.77:1339"), ("device", device, "left"),
        ("clock", clock, "wall"), ("control", control, "tcp"), ("driver", driver, "package.module:Class"),
        ("policy", policy, approval.ANY),
    ):  # fmt: skip
        asked.text(name, value, example)
    for name, value in (("driver_options", driver_options), ("cameras", cameras), ("camera_options", camera_options)):
        asked.table(name, value)
    asked.yes_or_no("approve", approve)
    asked.yes_or_no("adopt", adopt)
    if clock not in (None, *CLOCKS):
        raise BadOption("clock", clock, " | ".join(CLOCKS))
    if twin is not None:
        endpoint(twin)
    if address is None and twin is not None:
        raise BadOption("twin", twin, "with address=, the twin's own", "an entry of the inventory names its twin itself")
    if address is not None and device is not None:
        raise BadOption("device", device, "without address=")
    if control not in ("tcp", "joint"):
        raise BadOption("control", control, "tcp | joint")
    thresholds = Thresholds(force, torque)
    stale = real("stale", stale, 1e-3, 3600.0, "seconds, above 0")
    speed = real("approach_speed", approach_speed, 1e-3, spec.tcp_speed[0], f"m/s, above 0 and at most {spec.tcp_speed[0]}")
    path = driver or DRIVERS.get(spec.name) or DRIVERS.get(spec.family)
    if path is None:
        raise BadOption("robot", spec.name, ", ".join(DRIVERS), "name one: driver='module:Class'")
    asked.driver(path, driver_options or {})
    Guard(spec, task.workspace, 1.0 / task.rate, thresholds)  # refuses now what the worker would refuse later
    names = tuple(body.name for body in task.bodies if body.mount != "tool")

    # These arms carry their own weight, and what the tool holds, by our torques.
    carried = {"payload": tuple(dynamics.held(task))} if spec.family == "arx" and driver is None else {}

    def job(found: Device) -> Job:
        own = {key: value for key, value in found.options.items() if key != "objects"}
        gated = clock == "gate" or (clock is None and found.twin is not None)
        if gated and found.twin is None:
            raise BadOption("clock", clock, "'wall' for a real arm")
        asked.driver(path, own)
        return Job(
            name=found.id,
            driver=path,
            spec=spec,
            control=control,
            address=found.address,
            clock=GateClock(found.twin) if gated and found.twin is not None else WallClock(),
            workspace=task.workspace,
            period=1.0 / task.rate,
            moves_gripper=task.moves_gripper,
            objects=names,
            twin=found.twin,
            thresholds=thresholds,
            stale=None if gated else stale,
            approach_speed=speed,
            options={**carried, **own, **(driver_options or {})},
        )

    station = Station(Wish(spec.name, task.name, device, address, twin, policy, approve, adopt, known=driver is None), job)
    eyes = {c.name: StationCamera(c, station, (cameras or {}).get(c.name), camera_options or {}) for c in spec.cameras}
    for name in cameras or {}:
        if name not in eyes:
            raise BadOption("camera", name, ", ".join(eyes))
    view = eyes[spec.cameras[-1].name].larger(_VIEW) if spec.cameras else None
    robot = RealRobot(spec, control, station, Patience())
    native = tuple(eye.native for eye in eyes.values())
    return Cell(robot=robot, scene=StationScene(station, names, _nominal(task)), cameras=eyes, view=view, raw=native)


def _nominal(task: Task) -> F64:
    """Poses (k, 7) of the objects where a person is to put them: the mean of the starts. NaN: loose, or hung on another."""
    rng = np.random.default_rng(0)
    bodies = [body for body in task.bodies if body.mount != "tool"]
    poses = np.full((len(bodies), 7), np.nan)
    placed = [k for k, body in enumerate(bodies) if body.joint is None]
    means = np.mean([task.start(rng).objects for _ in range(_STARTS)], axis=0).reshape(-1, 7)
    means[:, 3:] /= np.linalg.norm(means[:, 3:], axis=1, keepdims=True)
    poses[placed] = means
    poses[[body.mount == "free" for body in bodies]] = np.nan
    return poses
