"""One process of a run: `python -m user_gym.system.processes ROLE FOLDER [NAME]`. The supervisor starts these; people do not.

`exits` has what its exit code says.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from threading import Event

from user_gym.errors import Busy, NoSpace
from user_gym.system.processes import supervisor
from user_gym.system.processes.exits import FULL, ORPHANED, STOPPED, TAKEN, code_of
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.journal import say
from user_gym.system.processes.link import Link, Report
from user_gym.system.processes.plan import COLLECTOR, HUB, LEARNER, OWNER, SUPERVISOR
from user_gym.system.processes.registry import Name

_WORK = {OWNER: "owner", LEARNER: "learning", COLLECTOR: "collecting", HUB: "hub"}


def main(role: str, path: str, name: str) -> int:
    """Run one process to its end; its exit code."""
    folder, stop = RunFolder(Path(path)), Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # before it can be found by its name, and told to stop
        signal.signal(number, lambda *_: stop.set())
    held = Name(folder.processes, name)
    try:
        held.hold()
    except Busy as error:
        say(f"{error}; this one, {os.getpid()}, ends")
        return TAKEN
    except NoSpace as error:
        say(str(error))
        return FULL
    if role == SUPERVISOR:
        return supervisor.run(folder, stop)
    report = Report(role=role, state="starts")
    link = Link(folder, name, report, stop).open()

    def work() -> bool:
        # Only now: what a role imports may take seconds, and the supervisor wants to hear.
        return import_module(f"user_gym.system.processes.{_WORK[role]}").run(folder, name, report, stop)

    try:
        code = code_of(work, report)
    finally:
        link.close()
    return ORPHANED if code == STOPPED and report.alone else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[-1] if len(sys.argv) > 3 else sys.argv[1]))
