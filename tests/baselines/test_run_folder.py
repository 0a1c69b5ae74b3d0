from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from baselines.config import Config
from baselines.episodes import demonstrate, make
from baselines.run_folder import Kept, Run, read_chunks, write_aside, write_chunks
from user_gym.errors import UserGymError, WrongRun
from user_gym.system import Buffer, Counters

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


def kept():
    return Kept(Buffer.open(":memory:"))


@pytest.fixture(scope="module")
def chunk():
    store = kept()
    env = make(Config(demos=1))
    demonstrate(env, store, Config(demos=1))
    env.close()
    return store.new[0]


@pytest.fixture
def two_checkpoints(tmp_path, chunk):
    """A closed run with checkpoints after 10 and 20 steps; experience came with both."""
    run, store = Run(tmp_path / "run", {"seed": 0}), kept()
    run.open()
    for steps, word in ((10, "ten"), (20, "twenty")):
        store.new.append(chunk)
        run.save(Memory(word).save, store, Counters(steps, 1, 4 * steps, 4 * steps))
    run.close()
    return run.folder


def resumed(folder):
    run, store, agent = Run(folder, {"seed": 0}), kept(), Memory()
    run.open()
    try:
        return run.restore(agent.restore, store), agent.word, run, store
    finally:
        run.close()


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_run_goes_on_from_its_newest_checkpoint(two_checkpoints):
    counters, word, *_ = resumed(two_checkpoints)
    assert (counters, word) == (Counters(20, 1, 80, 80), "twenty")
    assert {path.name for path in two_checkpoints.glob("*.pt")} == {"checkpoint-10-40.pt", "checkpoint-20-80.pt"}


@pytest.mark.parametrize("harm", [truncate, lambda path: path.unlink(), lambda path: path.write_bytes(b"\0" * 99)])
@pytest.mark.parametrize("name", ["checkpoint-20-80.pt", "state.json", "experience/00001.npz"])
def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(two_checkpoints, name, harm, capsys):
    harm(two_checkpoints / name)
    counters, word, run, store = resumed(two_checkpoints)
    assert (counters, word) == (Counters(10, 1, 40, 40), "ten")
    assert len(store) > 0
    if (two_checkpoints / "state.json").exists() and name != "state.json":
        assert "the checkpoint before, 10 steps" in capsys.readouterr().out
    run.open()  # and its next checkpoints are whole again
    run.save(Memory("again").save, store, Counters(20, 1, 80, 80))
    run.close()
    assert resumed(two_checkpoints)[:2] == (Counters(20, 1, 80, 80), "again")
    truncate(two_checkpoints / "checkpoint-20-80.pt")
    assert resumed(two_checkpoints)[1] == "ten"


def test_writing_the_same_checkpoint_again_keeps_the_one_before(two_checkpoints):
    *_, run, store = resumed(two_checkpoints)
    run.open()
    run.save(Memory("again").save, store, Counters(20, 1, 80, 80))
    run.close()
    truncate(two_checkpoints / "checkpoint-20-80.pt")
    assert resumed(two_checkpoints)[1] == "ten"


def test_a_run_without_a_whole_checkpoint_says_what_to_do(two_checkpoints):
    truncate(two_checkpoints / "experience" / "00000.npz")
    with pytest.raises(UserGymError, match=r"no checkpoint .* is whole .*00000.npz is damaged.*remove the folder"):
        resumed(two_checkpoints)


def test_a_checkpoint_that_cannot_be_written_leaves_the_newest_one_and_no_rubbish(two_checkpoints):
    def full(path):
        path.write_text("half of")
        raise OSError(28, "No space left on device")

    run, store = Run(two_checkpoints, {"seed": 0}), kept()
    run.open()
    run.restore(Memory().restore, store)
    with pytest.raises(OSError, match="No space left"):
        run.save(full, store, Counters(20, 1, 80, 80))  # the name of a checkpoint that exists
    run.close()
    assert resumed(two_checkpoints)[1] == "twenty"
    assert not list(two_checkpoints.rglob("*.tmp"))


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


def test_what_is_written_aside_appears_whole_or_not_at_all(tmp_path):
    def half(path):
        path.write_text("ha")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_aside(tmp_path / "x", half)
    assert not list(tmp_path.iterdir())


def test_chunks_come_back_from_a_file_as_they_were(tmp_path, chunk):
    write_chunks(tmp_path / "x.npz", [chunk])
    (back,) = read_chunks(tmp_path / "x.npz")
    assert (back.source, back.episode, back.kind, back.reward_source) == (chunk.source, 0, "demo", chunk.reward_source)
    np.testing.assert_array_equal(back.obs["state"], chunk.obs["state"])
    np.testing.assert_array_equal(back.action, chunk.action)
    np.testing.assert_array_equal(back.ordered, chunk.ordered)
    assert not np.array_equal(chunk.ordered, chunk.action)  # the safety box takes part of the expert's noise
    assert Buffer.open(":memory:").append(back).steps == len(chunk)
