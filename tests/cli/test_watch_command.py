"""`user-gym watch` shows a run of another process, from its files alone."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from user_gym.cli.main import main
from user_gym.system.metrics import BufferRecord, JsonLines, LearnerRecord, RobotRecord, RunRecord, State

NAN = float("nan")
TRAINING = """
import sys, time
from pathlib import Path
from user_gym.system.metrics import JsonLines, RunRecord
lines = JsonLines(Path(sys.argv[1]))
lines.open()
records = [RunRecord.from_json(line) for line in sys.stdin.read().splitlines()]
for record in records:
    lines.write(record)
    print("written", flush=True)
lines.close()
"""


def record(time: float = 1000.0, steps: int = 1200, ended: bool = False) -> RunRecord:
    left = RobotRecord("left", "franka-fr3", State.ACTING, time, steps, 13, 0.75, 0.125, 1, 0.98, 0.5)
    learner, buffer = LearnerRecord(4 * steps, NAN, 4.0, 300, {"critic_loss": 0.25}), BufferRecord(1500, 1e6, 0.0)
    return RunRecord("peg", time, 60.0, steps, (left,), learner, buffer, ended=ended)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "peg"
    made.mkdir()
    return made


@pytest.fixture
def write(folder: Path) -> Iterator[Callable[[RunRecord], None]]:
    lines = JsonLines(folder)
    lines.open()
    yield lines.write
    lines.close()


def test_once_prints_the_newest_record_as_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = [sys.executable, "-c", TRAINING, str(folder)]
    records = "\n".join(record(steps=steps).to_json() for steps in (100, 1200))
    subprocess.run(code, input=records, text=True, check=True, timeout=60, stdout=subprocess.DEVNULL)
    assert main(["watch", str(folder), "--once"]) == 0
    out = capsys.readouterr().out
    assert "peg  silent for" in out  # it was written at second 1000 of the epoch
    assert "left (franka-fr3)" in out
    assert "4800 updates" in out
    assert "100 steps" not in out


def test_once_as_json_is_one_line_for_programs_whatever_is_half_written(
    folder: Path, write: Callable[[RunRecord], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(record())
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(record(steps=9999).to_json()[:-20])
    assert main(["watch", str(folder), "--once", "--json"]) == 0
    assert RunRecord.from_json(capsys.readouterr().out).env_steps == 1200


@pytest.mark.parametrize("as_json", [False, True])
def test_each_new_record_is_a_line_until_the_run_has_ended(
    folder: Path, write: Callable[[RunRecord], None], as_json: bool
) -> None:
    write(record(1000.0, 100))
    command = [sys.executable, "-m", "user_gym.cli", "watch", str(folder), "--period", "0.05", *["--json"] * as_json]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            for time, steps, ended in ((1001.0, 200, False), (1002.0, 300, True)):
                write(record(time, steps, ended))
                lines.append(process.stdout.readline())
            assert process.wait(30) == 0
            assert process.stdout.read() == ""
        finally:
            process.kill()
    steps = [json.loads(line)["env_steps"] if as_json else int(line.split()[1]) for line in lines]
    assert steps == [100, 200, 300]
    assert as_json or [line.rstrip().endswith("ended") for line in lines] == [False, False, True]


def test_a_terminal_gets_a_live_table(folder: Path, write: Callable[[RunRecord], None]) -> None:
    write(record(ended=True))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "user_gym.cli", "watch", str(folder)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "140"}
    process = subprocess.Popen(command, stdout=theirs, env=environment)
    try:
        assert process.wait(60) == 0
        text = os.read(ours, 1 << 16).decode()
        assert "left (franka-fr3)" in text
        assert "\x1b[?25h" in text  # the cursor is back
    finally:
        process.kill()
        os.close(ours)
        os.close(theirs)


def test_prometheus_can_read_any_run_through_it(folder: Path, write: Callable[[RunRecord], None]) -> None:
    write(record())
    command = [sys.executable, "-m", "user_gym.cli", "watch", str(folder), "--metrics-port", "0", "--period", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            url = process.stderr.readline().removeprefix("metrics: ").strip()
            assert "1200 steps" in process.stdout.readline()  # it is served by then
            with urlopen(url, timeout=10) as answer:
                assert b"user_gym_env_steps_total 1200\n" in answer.read()
            write(record(1001.0, 1300, True))
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_curves_of_any_run_are_kept_through_it(folder: Path, write: Callable[[RunRecord], None]) -> None:
    write(record(ended=True))
    assert main(["watch", str(folder), "--tensorboard"]) == 0
    (events,) = (folder / "tensorboard").iterdir()
    assert b"robots/left/success_rate" in events.read_bytes()


def test_a_run_of_several_processes_is_shown_from_their_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beat = {"pid": 1, "starts": 1, "silent": 0.5, "last_end": ""}
    counted = {"steps": 900, "episodes": 9, "next_episode": 10, "upto": 900, "success": 6, "staleness": 1.5, "ended": False}
    latest = {"success_rate": 0.75, "intervention_rate": 0.125}
    staleness = {"counts": [900, 100, 0, 0, 0, 0, 0, 0, 0, 0], "total": 100}
    words = {
        "run": str(folder), "time": 1000.0, "state": "runs", "error": "",
        "processes": {
            "owner": {
                **beat, "state": "stores", "steps": 1000, "ratio": 4.0, "staleness": staleness,
                "robots": {"left": counted | latest, "right": counted},
            },
            "learner": {**beat, "state": "learns", "updates": 4000, "version": 80, "waited": 2.5, "metrics": {"q": 0.5}},
            "left": {**beat, "state": "collects", "faults": 2, "waited": 0.25, "began": 995.0, "queued": 2},
            "right": {**beat, "state": "quarantined for 2 s: Reflex", "faults": 3},
            "third": {**beat, "state": "waits to be started; ended by signal 9", "pid": None},
        },
    }  # fmt: skip
    (folder / "status.json").write_text(json.dumps(words))
    assert main(["watch", str(folder), "--once", "--json"]) == 0
    shown = RunRecord.from_json(capsys.readouterr().out)
    assert [(robot.name, robot.state.value, robot.faults) for robot in shown.robots] == [
        ("left", "acting", 2), ("right", "quarantined", 3), ("third", "gone", 0),
    ]  # fmt: skip
    left = shown.robots[0]
    assert (left.steps, left.episodes, left.heard, left.staleness) == (900, 9, 999.5, 1.5)
    assert (left.success_rate, left.intervention_rate, left.utilisation) == (0.75, 0.125, 0.95)
    assert shown.robots[1].success_rate == 6 / 9
    assert (shown.learner.ratio, shown.buffer.queued, shown.staleness.mean) == (4.0, 2, 0.1)
    assert (shown.env_steps, shown.learner.updates, shown.learner.version, shown.ended) == (1000, 4000, 80, False)
    assert [wait.seconds for wait in shown.waits] == [0.25, 0.0, 0.0, 2.5]
    (folder / "status.json").write_text(json.dumps(words | {"state": "finished"}))
    assert main(["watch", str(folder)]) == 0
    assert capsys.readouterr().out.rstrip().endswith("ended")
    (folder / "status.json").write_text("{}")
    assert main(["watch", str(folder)]) == 2
    assert "status.json is no status of a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "is not there; take the folder of a run"),
        ("", "holds no metrics.jsonl; a run writes it from its first second on"),
        ("thesis\n", "metrics.jsonl holds no whole record"),
    ],
)
def test_a_path_that_is_no_run_is_one_line(
    tmp_path: Path, made: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "thesis"
    if made is not None:
        folder.mkdir()
    if made:
        (folder / "metrics.jsonl").write_text(made)
    assert main(["watch", str(folder)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("option", [["--period", "0"], ["--period", "nan"], ["--metrics-port", "70000"]])
def test_a_number_that_is_not_allowed_is_named(
    folder: Path, write: Callable[[RunRecord], None], option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(record(ended=True))
    assert main(["watch", str(folder), *option]) == 2
    assert "allowed" in capsys.readouterr().err
