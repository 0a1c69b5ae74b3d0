"""`user-gym run`: what it says without a run, and of one that runs. Whole runs are in tests/system/processes."""

from __future__ import annotations

import configparser
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from user_gym.cli.main import main
from user_gym.system.atomic_file import write_json
from user_gym.system.processes import RunFolder, from_words
from user_gym.system.processes.registry import Name

PLAN = """
steps = 100
[[collectors]]
name = "left"
env = "User/PegInsert-sim-v0"
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "peg.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Of a run that was begun."""
    made = RunFolder(tmp_path / "run")
    made.begin(from_words({"steps": 100, "collectors": [{"name": "left", "env": "Toy-v0"}]}))
    return made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PLAN.replace("steps", "stesp"), "unknown option of the plan 'stesp'"),
        (PLAN.replace("100", "-1"), "bad steps -1"),
        ("steps = ", "a file of TOML"),
        ("steps = 1\n[collectors]\nname = 'a'\n[collectors]\nname = 'b'", "[[collectors]] with two brackets"),
    ],
)
def test_a_bad_plan_is_one_line_and_makes_no_folder(plan, tmp_path, capsys, text, words):
    plan.write_text(text)
    assert main(["run", str(plan), "--run-dir", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_without_a_plan_it_says_how(capsys, tmp_path):
    assert main(["run"]) == 2
    assert "user-gym run PLAN.toml" in capsys.readouterr().err
    assert main(["run", str(tmp_path / "none.toml")]) == 2
    assert "a file that can be read" in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(plan, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    assert main(["run", str(plan), "--run-dir", str(tmp_path / "other")]) == 2
    assert "holds no run of several processes; choose another --run-dir" in capsys.readouterr().err
    assert main(["run", "--status", str(tmp_path / "other")]) == 2
    assert "holds no run of several processes; give the folder that `user-gym run` named" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_a_unit_of_systemd_runs_this_command_and_lets_the_processes_live(plan, tmp_path, capsys):
    assert main(["run", str(plan), "--run-dir", str(tmp_path / "run"), "--systemd"]) == 0
    unit = configparser.ConfigParser(interpolation=None, delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(capsys.readouterr().out)
    assert unit["Service"]["ExecStart"] == f"{sys.executable} -m user_gym.cli run {plan} --run-dir {tmp_path / 'run'}"
    assert unit["Service"]["WorkingDirectory"] == os.getcwd()
    assert (unit["Service"]["KillMode"], unit["Service"]["Restart"]) == ("process", "on-failure")
    assert not (tmp_path / "run").exists()


def test_a_unit_of_systemd_names_folders_that_have_signs_of_systemds_own(plan, tmp_path, capsys):
    folder = tmp_path / 'of 50% $HOME "new" \\'
    assert main(["run", str(plan), "--run-dir", str(folder), "--systemd"]) == 0
    unit = capsys.readouterr().out
    assert unit.splitlines()[1] == 'Description=user-gym run of 50%% $HOME "new" \\'
    assert f'--run-dir "{tmp_path}/of 50%% $$HOME \\"new\\" \\\\"\n' in unit


def test_the_status_of_a_run_names_each_process(folder, capsys):
    processes = {
        "owner": {"state": "stores", "starts": 1, "steps": 40, "of": 100, "updates": 30},
        "left": {"state": "quarantined for 2.0 s: contact", "starts": 3, "faults": 2, "waited": 1.25},
    }
    write_json(folder.status_file, {"state": "runs", "error": "", "processes": processes})
    assert main(["run", "--status", str(folder.path)]) == 1  # nobody is there any more
    assert "does not run" in capsys.readouterr().out
    held = [Name(folder.processes, name) for name in ("supervisor", "left")]
    for name in held:
        name.hold()
    assert main(["run", "--status", str(folder.path)]) == 0
    said = capsys.readouterr().out
    assert "40 of 100 steps, 30 updates; left: quarantined for 2.0 s: contact" in said
    row = next(line for line in said.splitlines() if line.startswith("left"))
    assert f"{os.getpid()}" in row
    assert "quarantined for 2.0 s: contact, faults 2, waited 1.2 s" in row
    for name in held:
        name.release()


def test_stop_tells_the_parent_or_says_that_nobody_is_there(folder, capsys):
    assert main(["run", "--stop", str(folder.path)]) == 1
    assert "nothing runs" in capsys.readouterr().out
    words = "import sys; from pathlib import Path; from user_gym.system.processes.registry import Name;"
    words += f"Name(Path({str(folder.processes)!r}), 'parent').hold(); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "held\n"
        assert main(["run", "--stop", str(folder.path)]) == 0
        assert capsys.readouterr().out == f"told process {parent.pid}\n"
        assert parent.wait(20.0) == -15


def test_a_second_command_on_the_same_run_is_refused(folder, tmp_path, capsys):
    plan = tmp_path / "plan.toml"
    plan.write_text('steps = 100\n[[collectors]]\nname = "left"\nenv = "Toy-v0"\n')
    held = Name(folder.processes, "parent")
    held.hold()
    assert main(["run", str(plan), "--run-dir", str(folder.path)]) == 2
    said = capsys.readouterr().err
    assert f"the parent of the run in {folder.path} is process {os.getpid()}; user-gym run --status {folder.path}" in said
    assert f"user-gym run --stop {folder.path} stops it" in said
    held.release()


@pytest.mark.parametrize("text", ["", "\0\0", "{"])
def test_a_status_that_the_power_took_is_said_and_no_error(folder, capsys, text):
    folder.status_file.write_text(text)
    assert main(["run", "--status", str(folder.path)]) == 1
    assert "cannot be read, as after the power went" in capsys.readouterr().out


def test_a_finished_run_says_what_was_asked_for_and_what_was_done(folder, tmp_path, capsys):
    write_json(folder.finished_file, {"steps": 1514, "updates": 6000})
    plan = tmp_path / "plan.toml"
    plan.write_text('steps = 100\n[[collectors]]\nname = "left"\nenv = "Toy-v0"\n')
    assert main(["run", str(plan), "--run-dir", str(folder.path)]) == 0
    assert "is finished: 1514 steps (100 asked for), 6000 updates; give it more steps" in capsys.readouterr().out


def test_a_finished_run_says_what_next_where_we_know_it(folder, tmp_path, capsys):
    play = f"python -m baselines.play {folder.path}\n"
    assert main(["run", "--status", str(folder.path)]) == 1
    assert play not in capsys.readouterr().out
    write_json(folder.finished_file, {"steps": 1514, "updates": 6000})
    assert main(["run", "--status", str(folder.path)]) == 1
    assert capsys.readouterr().out.endswith(f"see what it learned: {play}")
    other = RunFolder(tmp_path / "other")
    words = {"steps": 100, "agent": {"make": "a:b"}, "collectors": [{"name": "left", "env": "Toy-v0"}]}
    other.begin(from_words(words))
    write_json(other.finished_file, {"steps": 1514, "updates": 6000})
    assert main(["run", "--status", str(other.path)]) == 1
    assert "baselines.play" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["run", "my run"])
def test_a_run_says_what_next_when_it_ends_and_each_time_after(plan, tmp_path, capsys, monkeypatch, name):
    made = RunFolder(tmp_path / name)

    class Program:
        def run(self):
            made.begin(from_words(tomllib.loads(PLAN)))
            write_json(made.finished_file, {"steps": 101, "updates": 90})
            return 0

    monkeypatch.setattr("user_gym.cli.run._program", lambda *args: Program())
    play = shlex.join(["python", "-m", "baselines.play", str(made.path)])
    for words in ("finished: 101 steps (100 asked for), 90 updates", f"{made.path} is finished: "):
        assert main(["run", str(plan), "--run-dir", str(made.path)]) == 0
        said = capsys.readouterr().out
        assert words in said
        assert said.endswith(f"\nsee what it learned: {play}\n")
    assert main(["run", "--status", str(made.path)]) == 1
    assert capsys.readouterr().out.endswith(f"see what it learned: {play}\n")


def test_a_plan_that_is_no_text_is_one_line(plan, capsys):
    plan.write_bytes(b"steps = 1 # \xff\xfe")
    assert main(["run", str(plan)]) == 2
    assert "a file of TOML; 'utf-8' codec can't decode" in capsys.readouterr().err
