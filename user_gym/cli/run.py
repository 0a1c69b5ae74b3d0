"""`user-gym run`: train on several robots at once, each in a process of its own, until done, whatever dies meanwhile."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Any

_SHOW = 5.0  # s between two lines


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "run",
        help="train as a plan says: a process for each robot, one that learns, one that keeps the experience",
        description="Start a run, or go on with it: repeated, the command goes on where the run was, whatever was killed. "
        "Ctrl-C stops in order: robots are held, all data is kept. The plan is a TOML file; docs/processes.md has its options.",
        epilog="Exit codes: 0 the run has all its steps; 1 a process keeps failing; 2 the plan cannot be done; 130 stopped.",
    )
    parser.add_argument("plan", nargs="?", type=Path, metavar="PLAN.toml", help="what is to be learned, and by which robots")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder of the run (default: runs/ and the plan's name)")
    parser.add_argument("--ray", metavar="ADDRESS", help="on a Ray cluster: auto, local or HOST:PORT (docs/cluster.md)")
    parser.add_argument("--systemd", action="store_true", help="print a unit of systemd that keeps this run going, and end")
    parser.add_argument("--status", type=Path, metavar="DIR", help="say how the run in a folder goes, and end")
    parser.add_argument("--stop", type=Path, metavar="DIR", help="stop the run in a folder in order, and end")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from user_gym.errors import BadOption
    from user_gym.system.processes import RunFolder

    if arguments.status is not None:
        return _status(RunFolder(arguments.status))
    if arguments.stop is not None:
        return _stop(RunFolder(arguments.stop))
    if arguments.plan is None:
        raise BadOption("plan", None, "a TOML file", "user-gym run PLAN.toml")
    run_dir = arguments.run_dir or Path("runs") / arguments.plan.stem
    plan = _read(arguments.plan)
    if arguments.systemd:
        from user_gym.system.processes.unit import unit

        print(unit(arguments.plan, run_dir, Path.cwd(), ["--ray", arguments.ray] if arguments.ray else []), end="")
        return 0
    return _run(RunFolder(run_dir), plan, arguments.ray)


def _read(path: Path) -> Any:
    import tomllib

    from user_gym.errors import BadOption
    from user_gym.system.processes import from_words

    text = ""
    try:
        text = path.read_text("utf-8")
        return from_words(tomllib.loads(text))
    except OSError as error:
        raise BadOption("plan", str(path), "a file that can be read", str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        cure = "each robot is a table of its own, [[collectors]] with two brackets" if "[collectors]" in text else ""
        raise BadOption("plan", str(path), "a file of TOML", "; ".join(filter(None, (str(error), cure)))) from error


def _run(folder: Any, plan: Any, ray: str | None) -> int:
    from user_gym.system.processes.exits import DONE, GAVE_UP, REFUSED

    folder.compare(plan)
    if plan.hub is not None and plan.hub.folder:
        from user_gym.system.link.identity.hub_folder import HubFolder

        HubFolder(Path(plan.hub.folder)).authority()  # without one no edge can come in: said before any robot moves
    finished = folder.finished()
    if finished is not None and finished["steps"] >= plan.steps:
        print(f"{folder.path} is finished: {_ending(finished, plan)}; give it more steps, or choose another --run-dir")
        print(_next(folder, plan), end="")
        return 0
    shown = time.monotonic()

    def each() -> None:
        nonlocal shown
        if time.monotonic() - shown > _SHOW:
            shown = time.monotonic()
            try:
                print(_line(folder.status()), flush=True)
            except BrokenPipeError:  # nobody reads on: that is no reason to leave the run without a parent
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    print(f"run in {folder.path}; user-gym run --status {folder.path} says more", flush=True)
    code = _program(folder, plan, each, ray).run()
    if code == DONE:
        print(f"finished: {_ending(folder.finished(), plan)}")
        print(_next(folder, plan), end="")
        return 0
    if code in (REFUSED, GAVE_UP):
        print(f"error: {(folder.status() or {}).get('error') or f'the supervisor failed again and again; see {folder.logs}'}")
        return 2 if code == REFUSED else 1
    print(f"stopped; the same command goes on: {folder.path}")
    return 130


def _program(folder: Any, plan: Any, each: Callable[[], None], ray: str | None) -> Any:
    """What runs it: with `run`, which returns an exit code of `exits`."""
    if ray is None:
        from user_gym.system.processes.parent import Parent

        return Parent(folder, plan, each)
    from user_gym.errors import BadOption
    from user_gym.robots import inventory
    from user_gym.system.cluster import Driver, offered

    if plan.hub is not None:
        raise BadOption("--ray", ray, "a plan without [hub]", "robots of other machines are nodes of the cluster")

    return Driver(folder, plan, each, ray, offered(inventory.read()))


def _ending(finished: Any, plan: Any) -> str:
    return f"{finished['steps']} steps ({plan.steps} asked for), {finished['updates']} updates"


def _next(folder: Any, plan: Any) -> str:
    """What to do with a run that has learned: a line, where we know it."""
    from user_gym.system.processes.plan import BASELINE

    known = plan.agent.make == f"{BASELINE}:agent"
    return f"see what it learned: python -m baselines.play {quote(str(folder.path))}\n" if known else ""


def _line(status: Any) -> str:
    if status is None:
        return "the supervisor starts"
    owner = status["processes"]["owner"]
    troubled = [_trouble(name, facts) for name, facts in status["processes"].items() if facts["state"] not in _WELL]
    troubled += [f"{name}: {facts['trouble']}" for name, facts in status["processes"].items() if facts.get("trouble")]
    counted = f"{owner['steps']} of {owner['of']} steps, {owner['updates']} updates" if "steps" in owner else "starting"
    return "; ".join([counted, *troubled])


def _trouble(name: str, facts: Any) -> str:
    """What keeps a process from its work, and how its last life ended where it begins another."""
    state, before = facts["state"], facts.get("last_end", "")
    return f"{name}: {state}" + (f" (before: {before})" if before and before not in state else "")


_WELL = ("collects", "learns", "stores", "listens", "done", "stopped")


def _status(folder: Any) -> int:
    """Print a table of the processes. 1 where none of them runs."""
    from user_gym.cli.table import table
    from user_gym.system.processes.plan import PARENT, SUPERVISOR
    from user_gym.system.processes.registry import holder

    plan = folder.plan()
    status = folder.status()
    rows = []
    for name in (PARENT, SUPERVISOR):
        there = holder(folder.processes, name)
        rows.append((name, str(there.pid) if there else "-", "", "runs" if there else "does not run"))
    alive = any(row[1] != "-" for row in rows)
    for name, facts in (status or {"processes": {}})["processes"].items():
        there = None if "edge" in facts else holder(folder.processes, name)
        # On a node of a cluster only the driver knows it, at an edge only the hub.
        known = there is not None or (alive and ("node" in facts or "edge" in facts))
        rows.append((name, _number(there, facts), str(facts["starts"]), _words(name, facts) if known else "does not run"))
    print(table(("PROCESS", "PID", "STARTS", "STATE"), rows))
    if status is None and folder.status_file.exists():
        print(f"\n{folder.status_file} cannot be read, as after the power went; it is written anew when the run goes on")
    if status is not None:
        print(f"\n{_line(status)}; {status['state']}" + (f"\nerror: {status['error']}" if status["error"] else ""))
    if not alive and folder.finished() is not None:
        print(_next(folder, plan), end="")
    return 0 if alive else 1


def _number(there: Any, facts: Any) -> str:
    """Of a process on this machine, or where it is on another one."""
    if there is None and facts.get("pid") and "node" in facts:
        return f"{facts['pid']} on {facts['node']}"
    if "edge" in facts:
        return f"at {facts['edge']}"
    return str(there.pid) if there else "-"


def _words(name: str, facts: Any) -> str:
    parts = [facts["state"], facts.get("address", ""), facts.get("outbox", ""), facts.get("disk", ""), facts.get("trouble", "")]
    parts += [
        f"{key} {facts[key]}" for key in ("steps", "updates", "version", "owed", "faults", "unacknowledged") if key in facts
    ]
    if "round_trip" in facts:
        parts.append(f"round trip {1000 * facts['round_trip']:.0f} ms")
    if "waited" in facts:
        parts.append(f"waited {facts['waited']:.1f} s")
    return ", ".join(filter(None, parts))


def _stop(folder: Any) -> int:
    """Stop a run. 1 where nothing of it runs."""
    from user_gym.system.processes.parent import tell_to_stop

    folder.plan()
    told = tell_to_stop(folder)
    print(f"told process {told.pid}" if told else f"nothing runs in {folder.path}")
    return 0 if told else 1
