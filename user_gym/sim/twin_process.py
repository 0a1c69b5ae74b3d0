"""A protocol twin in a process of its own, so that a client written in Python does not share an interpreter with its robot.

The child is a fresh interpreter, never a fork: it reads what to build from its standard input, answers with the address of its
side door on its standard output, and ends when that input ends. So it cannot outlive the process that started it.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from user_gym.errors import Closed, RobotFault, UserGymError
from user_gym.robots import plugins, registry, specs
from user_gym.robots.side import Side

FAREWELL = 10.0  # s that a twin may take to close


class TwinProcess:
    """Starts `twin(spec, task, **options)` elsewhere, and waits until its side door answers.

    The class named by `twin` has `open()`, `close()` and `side`, the address of its side door.

    Args:
        twin: "module:Class", such as "user_gym.sim.fci.twin:FciTwin".
        robot: name of the spec.
        options: of the class; JSON values.
        task: name of the task.
        task_options: of the task; JSON values.
        patience: s until the side door has to answer.
    """

    def __init__(
        self,
        twin: str,
        robot: str,
        options: Mapping[str, Any] | None = None,
        task: str = "PegInsert",
        task_options: Mapping[str, Any] | None = None,
        patience: float = 30.0,
    ) -> None:
        self._order = json.dumps(
            {
                "twin": twin,
                "robot": robot,
                "options": dict(options or {}),
                "task": task,
                "task_options": dict(task_options or {}),
            }
        )
        self._patience = patience
        self._child: subprocess.Popen[str] | None = None
        self._side = ""

    @property
    def side(self) -> str:
        """Address of the twin's side door."""
        if self._child is None:
            raise Closed("the twin's process is not running; call open()")
        return self._side

    @property
    def pid(self) -> int:
        """Of the twin's process."""
        if self._child is None:
            raise Closed("the twin's process is not running; call open()")
        return self._child.pid

    def open(self) -> None:
        """Start it. Raises RobotFault with the twin's own words, or where it does not answer in time."""
        if self._child is not None:
            return
        child = subprocess.Popen(
            [sys.executable, "-m", "user_gym.sim.twin_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._child = child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(self._order + "\n")
            child.stdin.flush()
            ready, _, _ = select.select([child.stdout], [], [], self._patience)
            line = child.stdout.readline() if ready else ""
            answer = json.loads(line) if line else {"error": f"no answer within {self._patience:g} s, or it ended"}
            if "error" in answer:
                raise RobotFault(f"twin in a process of its own: {answer['error']}")
            self._side = answer["side"]
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        side = Side(self._side, self._patience)
        side.connect()
        side.ask("hello")
        side.close()

    def close(self) -> None:
        """End it. May be called twice."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.close()
        finally:
            try:
                child.wait(FAREWELL)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(FAREWELL)
            child.stdout.close()

    def __enter__(self) -> TwinProcess:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def main() -> int:
    """The child: build what the first line of the input says, until the input ends."""
    order = json.loads(sys.stdin.readline())
    try:
        spec = specs.spec(order["robot"])
        task = registry.make_task(order["task"], spec, order["task_options"])
        twin: Any = plugins.load_object(order["twin"])(spec, task, **order["options"])
        twin.open()
    except (UserGymError, TypeError) as error:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        return 1
    try:
        sys.stdout.write(json.dumps({"side": twin.side}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        twin.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
