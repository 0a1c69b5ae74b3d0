"""An owner of a buffer in this process, that can die and come back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from running import plan_words

from user_gym.system import Buffer
from user_gym.system.processes import from_words
from user_gym.system.processes.caller import SocketCaller
from user_gym.system.processes.ledger import Ledger
from user_gym.system.processes.link import Report
from user_gym.system.processes.outbox import Outbox
from user_gym.system.processes.owner import Desk, Visit
from user_gym.system.processes.server import Server


class Place:
    """On the same buffer each time."""

    def __init__(self, path: Path, **changes: Any) -> None:
        self.path, self.plan = path, from_words(plan_words(**changes))

    @contextmanager
    def open(self) -> Iterator[Desk]:
        with Buffer.open(self.path / "buffer", durability="kill") as buffer:
            ledger = Ledger(self.plan, self.path / "owner.json")
            ledger.load(buffer)
            desk = Desk(ledger, buffer, threading.Event())
            server = Server(self.path / "owner.sock", lambda: Visit(desk)).open()
            try:
                yield desk
            finally:
                desk.stop.set()
                server.close()

    def caller(self) -> SocketCaller:
        return SocketCaller(self.path / "owner.sock")

    def outbox(self, name: str = "left", form: str = "f") -> tuple[Outbox, threading.Event, Report]:
        stop, report = threading.Event(), Report()
        return Outbox(self.caller(), {"name": name, "form": form}, {}, report, stop), stop, report
