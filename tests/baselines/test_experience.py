from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines import online, rlpd
from baselines.config import Config
from baselines.episodes import demonstrate, evaluate, make
from baselines.experience import DEMOS, OWN, counted, mixture, newest, open_buffer
from user_gym.core import Chunk
from user_gym.errors import BadOption, NoSpace, UserGymError, WrongRun
from user_gym.system import Buffer, Counters

TINY = {
    "steps": 40, "learning_starts": 10, "eval_every": 20, "eval_episodes": 1, "demos": 2, "batch_size": 8, "hidden": 8,
    "film": False,
}  # fmt: skip


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(online, "GLANCE", 1)
    return Config(**TINY, run_dir=tmp_path / "run")


def chunk(episode, sequence, steps=3, version=0, kind="policy", over=False):
    last = np.arange(steps) == steps - 1
    return Chunk(
        source="collector-0" if kind == "policy" else "expert", episode=episode, sequence=sequence, robot="r", task="t",
        kind=kind, obs={"state": np.full((steps + 1, 2), episode, np.float32)}, action=np.zeros((steps, 2), np.float32),
        ordered=np.zeros((steps, 2), np.float32), reward=np.ones(steps, np.float32), terminated=last & over,
        truncated=np.zeros(steps, bool), success=last & over, policy_version=np.full(steps, version),
        is_intervention=np.full(steps, version < 0), reward_source=("rule",) * steps, time=np.arange(1.0, steps + 1),
        wall_time=0.0, clock="sim", clock_offset=0.0, env_id="e", spec_hash="s",
    )  # fmt: skip


def test_steps_and_episodes_are_counted_in_the_buffer_and_updates_in_the_checkpoint(tmp_path):
    with open_buffer(tmp_path) as buffer:
        assert counted(buffer, Counters()) == Counters(0, 0, 0, -1)
        for made in (chunk(0, 0, kind="demo", version=-1), chunk(0, 0), chunk(0, 1, version=5), chunk(4, 0, version=9)):
            buffer.append(made)
        buffer.append(chunk(5, 0, version=-1))  # a person's: no policy chose its steps
        assert counted(buffer, Counters(3, 1, 7, 6)) == Counters(12, 6, 7, 9)
    with open_buffer(tmp_path) as buffer:
        assert counted(buffer, Counters(3, 1, 7, 6)) == Counters(12, 6, 7, 9)


def test_what_left_the_buffer_since_the_checkpoint_stays_counted(tmp_path):
    with open_buffer(tmp_path) as buffer:
        buffer.append(chunk(0, 0))
        assert counted(buffer, Counters(50, 8, 70, 60)) == Counters(50, 8, 70, 60)


def test_the_newest_chunk_is_the_last_that_can_be_read(tmp_path):
    with open_buffer(tmp_path) as buffer:
        assert newest(buffer, OWN) is None
        for episode in range(3):
            buffer.append(chunk(episode, 0))
        last = newest(buffer, OWN)
        assert last is not None
        assert last.episode == 2
    segment = max((tmp_path / "buffer" / "segments").iterdir())
    data = bytearray(segment.read_bytes())
    data[data.rindex(b"UGB1") + 100] ^= 1  # in the last block
    segment.write_bytes(data)
    with open_buffer(tmp_path) as buffer:
        last = newest(buffer, OWN)
        assert last is not None
        assert last.episode == 1


def test_half_of_a_batch_is_the_runs_own_and_half_what_was_there_before(tmp_path):
    rng = np.random.default_rng(0)
    with Buffer.open(":memory:") as buffer, Buffer.open(":memory:") as other:
        buffer.append(chunk(1, 0, kind="demo"))
        buffer.append(chunk(2, 0))
        other.append(chunk(3, 0))

        def shares(config, view):
            batch = mixture(buffer, view, config)(buffer, rng)
            return np.bincount(batch.obs["state"][:, 0].astype(int), minlength=4)[1:].tolist()

        assert shares(Config(batch_size=8), None) == [4, 4, 0]
        assert shares(Config(batch_size=8, demos=0), None) == [4, 4, 0]  # those of a person, say
        assert shares(Config(batch_size=8), other.view("kind = 'policy'")) == [2, 4, 2]
        assert shares(Config(batch_size=8, demos=0), other.view("kind = 'policy'")) == [0, 4, 4]


def test_demonstrations_that_a_kill_left_missing_are_added_and_none_is_repeated(tmp_path, monkeypatch):
    env = make(Config())
    with Buffer.open(":memory:") as whole, open_buffer(tmp_path) as buffer:
        demonstrate(env, whole, Config(demos=3))
        demonstrate(env, buffer, Config(demos=2))
        at_first, append = buffer.view(DEMOS).numbers().tolist(), buffer.append
        answers = []
        monkeypatch.setattr(buffer, "append", lambda chunk: answers.append(append(chunk)) or answers[-1])
        for _ in range(2):
            demonstrate(env, buffer, Config(demos=4))
            assert len(buffer.view(f"{DEMOS} AND (terminated OR truncated)")) == 4
        assert [answer.repeated for answer in answers] == [False, False]
        assert buffer.view(DEMOS).numbers().tolist()[: len(at_first)] == at_first
        begins = [buffer.query.block_at(0)[0]]
        while sum(block := buffer.query.block_at(begins[-1])) < len(buffer):
            begins.append(sum(block))
        starts = [buffer.chunk(begin).obs["state"][0] for begin in begins]
        assert len({start.tobytes() for start in starts}) == 4
        for number, start in zip((0, whole.query.block_at(0)[1]), starts, strict=False):
            np.testing.assert_array_equal(whole.chunk(number).obs["state"][0], start)  # equal seeds, as long as nothing is cut
    env.close()


def test_a_run_that_lost_its_agent_but_not_its_experience_makes_up_for_the_updates(tiny, monkeypatch, capsys):
    def dies(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(online, "evaluate", dies)
    with pytest.raises(KeyboardInterrupt):
        rlpd.main(tiny)  # in the look after 20 steps: nothing is saved yet
    assert not (tiny.folder / "state.json").exists()
    monkeypatch.setattr(online, "evaluate", evaluate)
    summary = rlpd.main(tiny)
    assert "goes on after 20 steps (20 in its buffer) and 0 updates" in capsys.readouterr().out
    assert summary is not None
    assert (summary["env_steps"], summary["updates"]) == (40, 120)
    with open_buffer(tiny.folder) as buffer:
        assert len(buffer.view(OWN)) == 40
        assert len(buffer.view(f"{DEMOS} AND (terminated OR truncated)")) == 2
        assert len(buffer.view(f"{OWN} AND episode = 1")) == 20  # not the one that was cut off


@pytest.mark.parametrize("kilobytes", [150, 420, 460, 540])  # for the demonstrations, a checkpoint, half of one, the steps
def test_a_run_whose_disk_is_full_says_so_and_goes_on_when_there_is_room(tiny, tmp_path, kilobytes):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(disk)]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    config = replace(tiny, steps=120, eval_every=60, updates_per_step=0.5, run_dir=disk / "run")
    try:
        with pytest.raises(NoSpace, match=r"no room for .*free some"):
            rlpd.main(config)
        subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
        summary = rlpd.main(config)
        assert summary is not None
        assert (summary["env_steps"], summary["updates"]) == (120, 55)
        with open_buffer(config.folder) as buffer:
            assert len(buffer.view(OWN)) == 120
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_new_run_learns_from_a_view_of_an_earlier_runs_buffer(tiny, tmp_path):
    rlpd.main(tiny)
    before = (tiny.folder / "buffer" / "index.sqlite").read_bytes()
    options = {"demos": 0, "experience": tiny.folder / "buffer", "where": "kind = 'demo'", "updates_before": 5}
    later = replace(tiny, run_dir=tmp_path / "later", **options)
    summary = rlpd.main(later)
    assert summary is not None
    assert (summary["env_steps"], summary["updates"]) == (40, 5 + 120)
    checkpoint = torch.load(tmp_path / "later" / "checkpoint-40-120.pt", weights_only=True)
    assert checkpoint["updates"] == 125
    with open_buffer(later.folder) as buffer:
        assert len(buffer) == 40
    assert (tiny.folder / "buffer" / "index.sqlite").read_bytes() == before
    assert rlpd.main(replace(later, experience=tmp_path / "later" / ".." / "run" / "buffer")) == summary  # the same run
    with pytest.raises(WrongRun, match="where="):
        rlpd.main(replace(later, where="success"))


def test_experience_that_cannot_be_learned_from_is_refused_and_leaves_no_folder(tiny, tmp_path):
    with Buffer.open(tmp_path / "other") as buffer:
        buffer.append(chunk(0, 0, over=True))
    for options, word in (
        ({"experience": tmp_path / "nothing"}, "nothing"),
        ({"experience": tmp_path / "other", "where": "robot = 'x'"}, "that transitions of .*other satisfy"),
        ({"experience": tmp_path / "other", "where": "sucess"}, "success"),
        ({"experience": tmp_path / "other"}, "of the spaces of User/PegInsert-sim-v0 with franka-fr3, state and tcp"),
    ):
        with pytest.raises(UserGymError, match=word):
            rlpd.main(replace(tiny, run_dir=tmp_path / "run", **options))
    assert not (tmp_path / "run").exists()
    with pytest.raises(BadOption, match=r"where 'success'; .*name its buffer by --experience"):
        replace(tiny, where="success")
    with pytest.raises(BadOption, match=r"updates_before 1; .*use --demos or --experience"):
        replace(tiny, demos=0, updates_before=1)
