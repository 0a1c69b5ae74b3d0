"""Which code moves which robot, and which code is which task: tables of strings. Nothing is imported until it is asked for.

Another package adds to them by entry points, each named by what it offers and pointing at the object:

    user_gym.backends        "robot/backend", or "*/backend" for every robot   builds a Cell with a Robot
    user_gym.batch_backends  the same names                                    builds a Cell with a RobotBatch
    user_gym.tasks           a task's name                                     builds a Task
    user_gym.robots          a robot's name (see `robots.specs`)               a RobotSpec
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from user_gym.core import Cell, RobotSpec, Task
from user_gym.errors import BadOption, UnknownName, nearest
from user_gym.robots import plugins, specs

# By (robot, backend); "*": any robot that is a RobotSpec, also another package's.
BACKENDS: Mapping[tuple[str, str], str] = {
    ("*", "sim"): "user_gym.sim.cell:build",
    ("*", "maniskill"): "user_gym.sim.maniskill.cell:build",
    ("*", "real"): "user_gym.real.cell:build",
}
BATCH_BACKENDS: Mapping[tuple[str, str], str] = {
    ("*", "sim"): "user_gym.sim.cell:build_batch",
    ("*", "maniskill"): "user_gym.sim.maniskill.cell:build_batch",
}
CHOOSERS: Mapping[str, str] = {"real": "user_gym.robots.candidates:choose"}  # backends whose robots have names of their own
TASKS: Mapping[str, str] = {
    "PegInsert": "user_gym.tasks.peg_insert:PegInsert",
    "Charger": "user_gym.tasks.charger:Charger",
    "CapTighten": "user_gym.tasks.cap_tighten:CapTighten",
    "PickPlace": "user_gym.tasks.pick_place:PickPlace",
    "TableCleanup": "user_gym.tasks.table_cleanup:TableCleanup",
}

BACKEND_GROUP = "user_gym.backends"
BATCH_BACKEND_GROUP = "user_gym.batch_backends"
TASK_GROUP = "user_gym.tasks"
ENV_OPTIONS = ("robot", "obs", "control", "render_mode")  # what every id takes besides its task's and its backend's own


def choose(robot: str, backend: str, task: str, options: Mapping[str, Any]) -> tuple[RobotSpec, Mapping[str, Any]]:
    """What `robot=` means on this backend, and the options with what that adds to them.

    Raises:
        UnknownName: no such robot.
        BadOption: another package registered it, but not with a RobotSpec; or the inventory cannot be read.
    """
    if backend in CHOOSERS:
        robot, options = plugins.load_object(CHOOSERS[backend])(robot, task, options)
    return specs.spec(robot), options


def backends(robot: str, batch: bool = False) -> tuple[str, ...]:
    """Names of the backends that can move this robot, or a batch of it. Imports nothing."""
    table, group = (BATCH_BACKENDS, BATCH_BACKEND_GROUP) if batch else (BACKENDS, BACKEND_GROUP)
    own = {backend for name, backend in table if name == robot or (name == "*" and robot in specs.known())}
    offered = (point.rpartition("/") for point in plugins.names(group))
    return tuple(sorted(own | {backend for name, _, backend in offered if name in (robot, "*")}))


def load(robot: str, backend: str, batch: bool = False) -> Callable[..., Any]:
    """The callable that builds this robot's cell on this backend.

    For our own robots our own table comes before other packages; for theirs it comes last.

    Raises:
        UnknownName: no such robot, or no such backend for it.
        MissingExtra: the backend needs an extra of user_gym that is not installed.
    """
    table, group = (BATCH_BACKENDS, BATCH_BACKEND_GROUP) if batch else (BACKENDS, BACKEND_GROUP)
    own = table.get((robot, backend)) or table.get(("*", backend))
    if own is not None and robot in specs.SPECS:
        return plugins.load_object(own)
    if robot not in specs.known():
        raise UnknownName("robot", robot, specs.known())
    for name in (f"{robot}/{backend}", f"*/{backend}"):
        if (found := plugins.find(group, name)) is not None:
            return found
    if own is not None:
        return plugins.load_object(own)
    kind = "batch backend" if batch else "backend"
    raise UnknownName(f"{kind} of {robot!r}", backend, backends(robot, batch))


def tasks() -> tuple[str, ...]:
    """Names of all tasks. Imports nothing."""
    return tuple(sorted({*TASKS, *plugins.names(TASK_GROUP)}))


def make_task(task: str | Callable[..., Task], spec: RobotSpec, options: Mapping[str, Any] | None = None) -> Task:
    """Build a task, by name or from its own class, for one arm.

    Raises:
        UnknownName: nobody registered the name.
        BadOption: the task has no such option, or not with such a value.
        MissingExtra: the task needs an extra of user_gym that is not installed.
    """
    build, options = _task(task) if isinstance(task, str) else task, dict(options or {})
    names, anything = _options(build, 1)
    _refuse_unknown(options, names, anything)
    return build(spec, **options)


def assemble(
    task: str | Callable[..., Task],
    backend: str,
    spec: RobotSpec,
    control: str,
    options: Mapping[str, Any],
    count: int | None = None,
) -> tuple[Task, Cell[Any]]:
    """Build a task and the cell it is done in; each option goes to the one of the two that takes it.

    Args:
        task: a registered name, or a callable that takes the spec and its options.
        backend: a registered name.
        spec: the arm.
        control: "tcp" or "joint".
        options: of the task, such as `hole_offset`, and of the backend, such as `dt` or an address.
        count: number of arms, for a cell with a RobotBatch; None: one Robot.

    Raises:
        UnknownName: no such task or backend.
        BadOption: neither has such an option, or not with such a value; or the backend cannot tell where an object is
            that the task observes.
        MissingExtra: a package is not installed.
    """
    build = load(spec.name, backend, batch=count is not None)
    make = _task(task) if isinstance(task, str) else task
    ours, anything = _options(make, 1)
    theirs, _ = _options(build, 3 if count is None else 4)
    _refuse_unknown(options, [*ours, *theirs], anything, ENV_OPTIONS)
    made = make(spec, **{k: v for k, v in options.items() if k in ours or (anything and k not in theirs)})
    place = () if count is None else (count,)
    cell = build(spec, made, control, *place, **{k: v for k, v in options.items() if k in theirs})
    unseen = sorted(set(made.scene_keys) - set(cell.scene.names))
    if unseen:
        able = f"it knows: {', '.join(cell.scene.names) or 'nothing'}"
        raise BadOption("backend", backend, f"one that can tell where {', '.join(unseen)} is; {able}", "add a camera estimator")
    return made, cell


def _options(build: Callable[..., Any], positional: int) -> tuple[list[str], bool]:
    """Names of the options after the positional arguments, and whether any other is taken too."""
    parameters = list(inspect.signature(build).parameters.values())[positional:]
    named = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _refuse_unknown(options: Mapping[str, Any], names: list[str], anything: bool, others: Sequence[str] = ()) -> None:
    """`others` are taken too, only not here."""
    for name in options:
        if name not in names and not anything:
            allowed = [*names, *others]
            raise BadOption("option", name, ", ".join(allowed), nearest(name, allowed))


def _task(name: str) -> Callable[..., Task]:
    if name in TASKS:
        return plugins.load_object(TASKS[name])
    if (found := plugins.find(TASK_GROUP, name)) is not None:
        return found
    raise UnknownName("task", name, tasks())
