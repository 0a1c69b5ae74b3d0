"""What a supervisor writes of a run of several processes, as a record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from user_gym.errors import WrongRun
from user_gym.system.metrics import State, status

OWNER = {
    "state": "stores", "pid": 1, "starts": 1, "silent": 0.1, "steps": 40, "of": 100, "updates": 30, "transitions": 1040,
    "robots": {"left": {"steps": 40, "episodes": 4, "success": 1, "staleness": 2.0}},
}  # fmt: skip


def read(tmp_path: Path, **left: Any):
    """The record of a run whose one robot says this."""
    process = {"state": "collects", "pid": 3, "starts": 1, "silent": 0.2, "robot": "franka-fr3", **left}
    words: dict[str, Any] = {"run": "runs/peg", "time": 100.0, "state": "runs", "error": ""}
    learner = {"state": "learns", "pid": 2, "starts": 1, "silent": 0.1}
    words["processes"] = {"owner": OWNER, "learner": learner, "left": process}
    (tmp_path / "status.json").write_text(json.dumps(words))
    return status.read(tmp_path / "status.json")


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"state": "starts"}, State.STARTING),
        ({"state": "builds"}, State.STARTING),
        ({"state": "waits for the first weights"}, State.WAITING),
        ({}, State.ACTING),
        ({"waits": False, "outbox": ""}, State.ACTING),
        ({"waits": True}, State.WAITING),
        ({"outbox": "waits for the disk: no room"}, State.WAITING),
        ({"state": "quarantined for 1.0 s: contact", "waits": True}, State.QUARANTINED),
        ({"state": "halted by a person: stop"}, State.QUARANTINED),
        ({"pid": None}, State.GONE),
        ({"state": "done", "pid": None}, State.ENDED),
    ],
)
def test_a_robot_is_shown_in_the_state_that_its_process_says(tmp_path: Path, said: dict[str, Any], state: State) -> None:
    assert read(tmp_path, **said).robots[0].state is state


def test_demonstrations_are_in_the_buffer_and_steps_of_robots_alone_are_those_of_the_run(tmp_path: Path) -> None:
    record = read(tmp_path)
    assert (record.env_steps, record.buffer.transitions) == (40, 1040)
    assert (record.robots[0].robot, record.robots[0].success_rate, record.robots[0].heard) == ("franka-fr3", 0.25, 99.8)


@pytest.mark.parametrize("text", ["", "\0\0\0\0", " \n"])
def test_what_the_power_left_empty_is_told_from_what_is_no_status(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(WrongRun, match="is empty, as after the power went; the run writes it anew when it goes on"):
        status.read(tmp_path / "status.json")
    (tmp_path / "status.json").write_text('{"processes": {}}')
    with pytest.raises(WrongRun, match="is no status of a run: KeyError"):
        status.read(tmp_path / "status.json")
