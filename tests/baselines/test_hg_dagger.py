from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_experience import chunk

from baselines import bc, hg_dagger, online
from baselines.config import Config as Rlpd
from baselines.episodes import make
from baselines.hg_dagger import LEARNED, Config, by_quarter
from baselines.play import Play, play
from baselines.relative import Relative
from user_gym.errors import BadOption
from user_gym.system import Buffer

SMALL = {"demos": 1, "batch_size": 8, "hidden": 8, "eval_episodes": 1, "film": False}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(online, "GLANCE", 1)
    monkeypatch.setattr(bc, "GLANCE", 1)
    return Config(
        **SMALL, steps=120, updates_before=20, updates_per_step=1, patience=8, eval_every=60, run_dir=tmp_path / "run"
    )


def helped(episode: int, pattern: str):
    """An episode; "H" are the human's steps."""
    made = chunk(episode, 0, len(pattern), over=True)
    human = np.array([letter == "H" for letter in pattern])
    return replace(made, is_intervention=human, policy_version=np.where(human, -1, 0))


def test_takeovers_are_counted_by_quarter_of_the_episodes():
    buffer = Buffer.open(":memory:")
    buffer.append(chunk(0, 0, 5, kind="demo", version=-1, over=True))
    for i, pattern in enumerate(["HHH", "HPHP", "PHHH", "HPPP", "PPPH", "HPPP", "PPPP", "PPPP"]):
        buffer.append(helped(i, pattern))
    told = by_quarter(buffer)
    assert (told["episodes"], told["labels"]) == (8, 5 + 3 + 2 + 3 + 1 + 1 + 1)
    assert told["interventions_per_episode"] == [1.5, 1.0, 1.0, 0.0]  # an episode's first step begins one anew
    assert told["share_of_steps_by_human"] == [0.714, 0.5, 0.25, 0.0]


def test_a_run_that_is_interrupted_before_its_first_step_ends_without_a_traceback(tiny, monkeypatch, capsys):
    monkeypatch.setattr(online, "_learn", lambda *run: False)
    assert hg_dagger.main(tiny) is None
    assert "interrupted after 0 steps" in capsys.readouterr().out


def test_a_run_learns_from_the_humans_steps_and_from_no_step_of_the_policy(tiny, monkeypatch):
    drawn = []
    update = bc.Cloning.update
    monkeypatch.setattr(bc.Cloning, "update", lambda self, batch: (drawn.append(batch), update(self, batch))[1])
    summary = hg_dagger.main(tiny)
    assert summary is not None
    assert summary == json.loads((tiny.folder / "summary.json").read_text())
    assert (summary["env_steps"], summary["updates"]) == (120, 20 + 120)
    assert len(drawn) == 140
    assert all((batch.policy_version == -1).all() for batch in drawn)
    assert not any(batch.is_intervention.any() for batch in drawn[:20])
    assert sum(batch.is_intervention.sum() for batch in drawn[20:]) > 50
    with Buffer.open(tiny.folder / "buffer", read_only=True) as buffer:
        corrections = len(buffer.view("is_intervention"))
        assert 20 < corrections < 120
        assert summary["labels"] == len(buffer.view(LEARNED)) == len(buffer.view("kind = 'demo'")) + corrections
    assert len(summary["interventions_per_episode"]) == 4
    assert play(Play(tiny.folder, episodes=1)).length > 0


def test_it_begins_with_the_policy_that_cloning_ends_with(tiny, tmp_path, monkeypatch):
    cloned = bc.Config(**SMALL, updates=20, run_dir=tmp_path / "bc")
    bc.main(cloned)
    (path,) = cloned.folder.glob("checkpoint-*.pt")
    begun = []

    def train(env, agent, storage, **options):
        begun.append(agent.actor.detach().clone())
        raise KeyboardInterrupt

    monkeypatch.setattr(online, "train", train)
    with pytest.raises(KeyboardInterrupt):
        hg_dagger.main(tiny)
    assert torch.equal(begun[0], torch.load(path, weights_only=True)["actor"])


def test_equal_seeds_give_equal_runs_human_included(tiny):
    runs = [hg_dagger.main(replace(tiny, run_dir=tiny.folder / name)) for name in ("a", "b")]
    a, b = (torch.load(tiny.folder / name / "checkpoint-120-120.pt", weights_only=True)["actor"] for name in ("a", "b"))
    assert torch.equal(a, b)
    assert all(run is not None for run in runs)


def test_the_human_is_as_patient_and_helps_as_long_as_is_said(tiny, monkeypatch):
    made = []

    def supervisor(task, hand, patience, held):
        made.append((patience, held))
        raise KeyboardInterrupt

    monkeypatch.setattr(hg_dagger, "Supervisor", supervisor)
    with pytest.raises(KeyboardInterrupt):
        hg_dagger.main(replace(tiny, patience=9, held=7))
    assert made == [(9, 7)]


def test_who_is_corrected_is_told_where_objects_are_to_the_hand():
    task = {"env_id": "User/TableCleanup-sim-v0"}
    with closing(make(Config(**task))) as corrected, closing(make(Rlpd(**task))) as plain:
        assert isinstance(corrected, Relative)
        assert not isinstance(plain, Relative)


def test_without_demonstrations_there_is_no_policy_to_correct():
    with pytest.raises(BadOption, match="demos 0"):
        Config(demos=0)
