"""`user-gym watch` reads the status that a real run of several processes writes."""

from __future__ import annotations

import json
from collections.abc import Callable

from running import PATIENCE, Run

from user_gym.system.metrics import State, status


def test_a_run_of_several_processes_is_seen_while_it_goes_on_and_when_it_has_ended(runs: Callable[..., Run]) -> None:
    run = runs().start()
    path = run.folder.status_file

    def busy() -> bool:
        record = status.read(path) if path.exists() else None
        return record is not None and record.learner.updates > 0 and all(robot.episodes for robot in record.robots)

    run.until(busy, "two robots and a learner at work")
    record = status.read(path)
    assert [robot.name for robot in record.robots] == ["left", "right"]
    assert record.env_steps >= sum(robot.steps for robot in record.robots) > 0
    assert record.ended or {robot.state for robot in record.robots} <= {State.ACTING, State.WAITING, State.ENDED}
    assert 0 <= record.time - record.robots[0].heard < PATIENCE
    assert run.end()[0] == 0
    assert {facts["state"] for facts in json.loads(path.read_text())["processes"].values()} <= {"done", "stopped"}
    last = status.read(path)
    assert last.ended
    assert last.env_steps >= run.plan.steps
    assert {robot.state for robot in last.robots} == {State.ENDED}
    assert all(robot.faults == 0 and robot.episodes > 0 for robot in last.robots)
    assert last.learner.metrics
