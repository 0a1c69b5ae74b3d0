"""A run that fails before anything of it is kept leaves nothing behind; one that has something loses nothing."""

import fcntl
import shutil
from pathlib import Path

import pytest
import torch

from baselines import bc, online, rewards, rlpd, run_folder, vla
from baselines.config import Config
from baselines.experience import open_buffer
from baselines.run_folder import Run
from user_gym.errors import Busy, LinkLost, MissingSystem
from user_gym.real.keyboard import Keyboard
from user_gym.system import Buffer


@pytest.fixture
def tiny(tmp_path):
    torch.set_num_threads(1)
    return bc.Config(demos=1, updates=5, batch_size=8, hidden=8, film=False, run_dir=tmp_path / "run")


def silent(*arguments, **options):
    raise LinkLost("the robot does not answer")


@pytest.mark.parametrize("part", ["demonstrate", "train"])
def test_an_online_run_whose_robot_never_answered_leaves_nothing(tmp_path, monkeypatch, part):
    monkeypatch.setattr(online, part, silent)
    torch.set_num_threads(1)
    config = Config(demos=0, hidden=8, batch_size=8, tensorboard=True, run_dir=tmp_path / "run")
    with pytest.raises(LinkLost, match="does not answer"):
        rlpd.main(config)
    assert list(tmp_path.iterdir()) == []


def test_a_person_without_a_terminal_is_told_before_anything_is_demonstrated(tmp_path, monkeypatch):
    monkeypatch.setattr(rewards, "_keyboard", lambda: Keyboard(str(tmp_path / "none")))
    with pytest.raises(MissingSystem, match="run this in a terminal"):
        rlpd.main(Config(demos=1, hidden=8, reward="human:keyboard,rule", run_dir=tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_a_cloning_run_without_a_demonstration_leaves_nothing(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(bc, "demonstrate", silent)
    with pytest.raises(LinkLost):
        bc.main(tiny)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_has_a_demonstration_keeps_it(tiny, monkeypatch):
    monkeypatch.setattr(bc, "rehearse", silent)
    with pytest.raises(LinkLost):
        bc.main(tiny)
    with Buffer.open(tiny.folder / "buffer", read_only=True) as buffer:
        assert len(buffer) > 0


def test_a_run_that_was_there_before_stays(tiny, tmp_path, monkeypatch):
    begun = Run(tiny.folder, tiny.identity)
    begun.open()
    begun.close()
    monkeypatch.setattr(bc, "demonstrate", silent)
    with pytest.raises(LinkLost):
        bc.main(tiny)
    assert {"config.json", "buffer"} <= {path.name for path in tiny.folder.iterdir()}


def test_what_somebody_put_there_meanwhile_stays(tmp_path):
    run = Run(tmp_path / "run", {})
    run.open()
    (run.folder / "note.txt").touch()
    run.withdraw()
    run.withdraw()
    assert [path.name for path in run.folder.iterdir()] == ["note.txt"]


def test_a_run_in_the_place_of_one_that_somebody_removed_is_not_withdrawn_with_it(tmp_path):
    first, second = Run(tmp_path / "run", {}), Run(tmp_path / "run", {})
    first.open()
    shutil.rmtree(first.folder)
    second.open()
    with open_buffer(second.folder):
        first.withdraw()
    assert {"buffer", "config.json", "lock"} <= {path.name for path in second.folder.iterdir()}
    first.close()
    second.close()


def test_a_folder_that_was_there_before_stays_empty(tmp_path):
    run = Run(tmp_path, {})
    run.open()
    run.withdraw()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_goes_before_its_lock_is_made_is_one_that_was_let_go_of(tmp_path, monkeypatch):
    run = Run(tmp_path / "run", {})
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    with pytest.raises(Busy, match="let go of by another process at this moment; try again"):
        run.open()


def test_a_vla_whose_demonstrations_fail_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(vla, "demonstrate", silent)
    with pytest.raises(LinkLost):
        vla.main(vla.VlaConfig(side=16, cameras=("wrist",), run_dir=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_with_a_checkpoint_is_not_withdrawn(tmp_path):
    run = Run(tmp_path / "run", {})
    run.open()
    run.save(lambda path: path.write_text("agent"), run.counters)
    run.withdraw()
    run.close()
    assert {"config.json", "state.json"} <= {path.name for path in run.folder.iterdir()}


def test_who_opened_the_lock_of_a_folder_that_goes_is_refused_and_may_try_again(tmp_path, monkeypatch):
    first, second = Run(tmp_path / "run", {}), Run(tmp_path / "run", {})
    first.open()
    flock = fcntl.flock

    def late(file, how):
        first.withdraw()
        flock(file, how)

    monkeypatch.setattr(run_folder.fcntl, "flock", late)
    with pytest.raises(Busy, match="try again"):
        second.open()
    monkeypatch.setattr(run_folder.fcntl, "flock", flock)
    second.open()
    with pytest.raises(Busy, match="in use"):
        first.open()
    second.close()
