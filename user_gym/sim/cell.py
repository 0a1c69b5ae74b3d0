"""How the registry builds a simulated cell: arm, task's objects, cameras, and a larger view for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from user_gym.core import F64, Camera, Cell, Command, Compliance, Robot, RobotBatch, RobotSpec, RobotState, Scene, Start, Task
from user_gym.sim.painter import Painter, TwinCamera
from user_gym.sim.plant import compile_plant, view
from user_gym.sim.randomisation import parse
from user_gym.sim.twins import MujocoTwins
from user_gym.sim.window import Window

DT = 0.004  # s; 1 to 5 ms are supported
Wanted = str | Mapping[str, float] | None
_ALL = np.ones(1, bool)


class MujocoTwin:
    """A Robot: one arm of a batch of one, without the batch axis."""

    def __init__(self, twins: MujocoTwins) -> None:
        self.spec, self.names = twins.spec, twins.names
        self._twins = twins

    def connect(self) -> None:
        """Allocate the simulation."""
        self._twins.connect()

    def reset(self, start: Start) -> RobotState:
        """Place the arm at its start, at rest."""
        self._twins.reset(_ALL, replace(start, tcp=start.tcp[None], objects=start.objects[None], joints=start.joints[None]))
        return self._twins.states(0)

    def exchange(self, command: Command) -> RobotState:
        """Order and integrate one control period."""
        tcp, joints = command.tcp, command.joints
        batched = Command(float(command.gripper), None if tcp is None else tcp[None], None if joints is None else joints[None])
        self._twins.advance(batched)
        return self._twins.states(0)

    def observe(self) -> Scene:
        """Truth about the objects."""
        return self._twins.scene(0)

    def drawn(self) -> dict[str, F64]:
        """What was drawn for this episode, by the name that infos give it; empty where nothing is."""
        return {name: values[0] for name, values in self._twins.drawn().items()}

    def set_compliance(self, compliance: Compliance) -> None:
        """Change how it yields, from the next period on."""
        self._twins.set_compliance(compliance)

    def close(self) -> None:
        """Free the simulation."""
        self._twins.close()


def build(spec: RobotSpec, task: Task, control: str, dt: float = DT, randomise: Wanted = None) -> Cell[Robot]:
    """A cell with one MujocoTwin. Nothing is allocated for drawing until a camera is connected.

    Args:
        spec: the arm.
        task: what is to be done.
        control: "tcp" or "joint".
        dt: s of a substep.
        randomise: what is drawn anew for each episode: None, "all", or how much by name; see `sim.randomisation`.

    Raises:
        BadOption: a value is not allowed.
    """
    twins = MujocoTwins(compile_plant(spec, task, control, dt), randomisation=parse(randomise))
    twin = MujocoTwin(twins)
    cameras, view = _cameras(twins, spec, task, batched=False)
    return Cell(robot=twin, scene=twin, cameras=cameras, view=view, window=Window(twins, task))


def build_batch(
    spec: RobotSpec, task: Task, control: str, count: int, dt: float = DT, threads: int = 1, randomise: Wanted = None
) -> Cell[RobotBatch]:
    """As `build`, with `count` twins, stepped by `threads` threads; its cameras give a picture of each."""
    twins = MujocoTwins(compile_plant(spec, task, control, dt), count, threads, parse(randomise))
    cameras, view = _cameras(twins, spec, task, batched=True)
    return Cell(robot=twins, scene=twins, cameras=cameras, view=view)


def _cameras(twins: MujocoTwins, spec: RobotSpec, task: Task, batched: bool) -> tuple[dict[str, Camera], Camera]:
    """Cameras of equal size share one painter; the view for people has its own."""
    painters: dict[tuple[int, int], Painter] = {}
    cameras: dict[str, Camera] = {}
    for camera in spec.cameras:
        size = (camera.height, camera.width)
        painters.setdefault(size, Painter(twins, task, *size))
        cameras[camera.name] = TwinCamera(camera, twins, painters[size], batched)
    large = view(spec)
    return cameras, TwinCamera(large, twins, Painter(twins, task, large.height, large.width), batched)
