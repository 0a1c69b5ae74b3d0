from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from baselines.run_folder import Run
from user_gym.errors import NoSpace, Unwritable, UserGymError, WrongRun
from user_gym.system import Counters

HOLDER = """
import sys
from pathlib import Path
from baselines.run_folder import Run
run = Run(Path(sys.argv[1]), {"seed": 0})
run.open()
print("held", flush=True)
sys.stdin.read()
"""


class Memory:
    """An agent that is one word."""

    def __init__(self, word=""):
        self.word = word

    def save(self, path):
        path.write_text(self.word)

    def restore(self, path):
        self.word = path.read_text()


@pytest.fixture
def two_checkpoints(tmp_path):
    """A closed run with checkpoints after 10 and 20 steps."""
    run = Run(tmp_path / "run", {"seed": 0})
    run.open()
    for steps, word in ((10, "ten"), (20, "twenty")):
        run.save(Memory(word).save, Counters(steps, 1, 4 * steps, 4 * steps))
    run.close()
    return run.folder


def resumed(folder):
    run, agent = Run(folder, {"seed": 0}), Memory()
    run.open()
    try:
        return run.restore(agent.restore), agent.word, run
    finally:
        run.close()


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_run_goes_on_from_its_newest_checkpoint(two_checkpoints):
    counters, word, _ = resumed(two_checkpoints)
    assert (counters, word) == (Counters(20, 1, 80, 80), "twenty")
    assert {path.name for path in two_checkpoints.glob("*.pt")} == {"checkpoint-10-40.pt", "checkpoint-20-80.pt"}


@pytest.mark.parametrize("harm", [truncate, lambda path: path.unlink(), lambda path: path.write_bytes(b"\0" * 99)])
@pytest.mark.parametrize("name", ["checkpoint-20-80.pt", "state.json"])
def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(two_checkpoints, name, harm, capsys):
    harm(two_checkpoints / name)
    counters, word, run = resumed(two_checkpoints)
    assert (counters, word) == (Counters(10, 1, 40, 40), "ten")
    if (two_checkpoints / "state.json").exists() and name != "state.json":
        assert "the checkpoint before, 10 steps" in capsys.readouterr().out
    run.open()  # and its next checkpoints are whole again
    run.save(Memory("again").save, Counters(20, 1, 80, 80))
    run.close()
    assert resumed(two_checkpoints)[:2] == (Counters(20, 1, 80, 80), "again")
    truncate(two_checkpoints / "checkpoint-20-80.pt")
    assert resumed(two_checkpoints)[1] == "ten"


def test_writing_the_same_checkpoint_again_keeps_its_agent_and_the_one_before(two_checkpoints):
    *_, run = resumed(two_checkpoints)
    run.open()
    run.curve.append({"env_steps": 20})
    run.save(Memory("again").save, Counters(20, 1, 80, 80))
    run.close()
    assert json.loads((two_checkpoints / "state.json").read_text())["curve"] == run.curve
    assert resumed(two_checkpoints)[1] == "twenty"  # the file that the state names was never in danger
    truncate(two_checkpoints / "checkpoint-20-80.pt")
    assert resumed(two_checkpoints)[1] == "ten"


def test_a_run_without_a_whole_checkpoint_says_what_to_do(two_checkpoints):
    for path in two_checkpoints.glob("*.pt"):
        truncate(path)
    with pytest.raises(UserGymError, match=r"no checkpoint .* is whole .*20-80.pt is damaged.*remove its state\*.json"):
        resumed(two_checkpoints)
    for path in two_checkpoints.glob("state*.json"):
        path.unlink()
    assert resumed(two_checkpoints)[0] is None


def test_a_checkpoint_that_the_disk_has_no_room_for_leaves_the_newest_one_and_no_rubbish(two_checkpoints):
    *_, run = resumed(two_checkpoints)
    run.open()
    (two_checkpoints / "checkpoint-30-120.pt.tmp").symlink_to("/dev/full")
    with pytest.raises(NoSpace, match=r"no room for .*checkpoint-30-120.pt: .*free some, and the run can go on"):
        run.save(Memory("thirty").save, Counters(30, 1, 120, 120))
    run.close()
    assert resumed(two_checkpoints)[1] == "twenty"
    assert not list(two_checkpoints.rglob("*.tmp"))


@pytest.mark.parametrize("name", ["state.previous.json", "state.json"])
def test_a_checkpoint_that_finds_no_room_for_its_name_leaves_both_before_it(two_checkpoints, name):
    *_, run = resumed(two_checkpoints)
    run.open()
    before = {file.name: file.read_text() for file in two_checkpoints.glob("[cs]*.*")}
    (two_checkpoints / f"{name}.tmp").symlink_to("/dev/full")
    with pytest.raises(NoSpace, match=rf"no room for .*{name}"):
        run.save(Memory("thirty").save, Counters(30, 1, 120, 120))
    assert {file.name: file.read_text() for file in two_checkpoints.glob("[cs]*.*")} == before
    run.save(Memory("forty").save, Counters(40, 1, 160, 160))
    run.close()
    assert resumed(two_checkpoints)[1] == "forty"
    truncate(two_checkpoints / "checkpoint-40-160.pt")
    assert resumed(two_checkpoints)[1] == "twenty"


def test_a_folder_that_may_not_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)  # root may write everywhere
    with pytest.raises(Unwritable, match=r"config.json may not be written: .*Permission denied; give this user the right"):
        Run(tmp_path / "run", {}).open()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"lock"}


def test_a_run_of_the_layout_before_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "experience").mkdir()
    with pytest.raises(WrongRun, match=r"made by an earlier version, .*experience/; remove it or choose another --run-dir"):
        Run(tmp_path, {}).open()
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "experience"}


def test_what_a_killed_process_was_writing_is_swept_away(two_checkpoints):
    (two_checkpoints / "checkpoint-30-120.pt.tmp").write_text("thi")
    assert resumed(two_checkpoints)[1] == "twenty"
    assert not list(two_checkpoints.glob("*.tmp"))


def test_a_process_that_is_killed_between_two_files_leaves_the_checkpoint_before(two_checkpoints):
    os.replace(two_checkpoints / "state.json", two_checkpoints / "state.previous.json")
    assert resumed(two_checkpoints)[1] == "twenty"


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        run = Run(folder, {"seed": 0})
        with pytest.raises(UserGymError, match=f"in use by process {holder.pid}; wait until it ends"):
            run.open()
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        run.open()
        run.close()
        run.close()


def test_the_folder_of_another_configuration_is_refused_by_name_and_not_held(tmp_path):
    run = Run(tmp_path / "run", {"seed": 0, "steps": 5})
    run.open()
    run.close()
    with pytest.raises(WrongRun, match="seed=0 there, 1 here"):
        Run(tmp_path / "run", {"seed": 1, "steps": 5}).open()
    run.open()
    run.close()


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(WrongRun, match="no run"):
        Run(tmp_path, {}).open()
    with pytest.raises(WrongRun, match="is a file"):
        Run(tmp_path / "thesis.txt", {}).open()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_damaged_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"seed"')
    with pytest.raises(WrongRun, match=r"config.json is damaged"):
        Run(tmp_path, {}).open()


def test_a_folder_whose_process_died_before_it_said_what_it_is_can_be_used(tmp_path):
    for name in ("lock", "config.json.tmp"):
        (tmp_path / name).write_text("{")
    run = Run(tmp_path, {"seed": 0})
    run.open()
    run.close()
    assert json.loads((tmp_path / "config.json").read_text()) == {"seed": 0}
