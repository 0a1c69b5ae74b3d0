"""A checkpoint is there whole, or the one before is."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from user_gym.errors import NoSpace, UserGymError
from user_gym.system.checkpoints import Checkpoints, Reached


@pytest.fixture
def kept(tmp_path):
    return Checkpoints(tmp_path)


def save(kept, updates):
    kept.save(lambda path: path.write_text(f"agent {updates}"), Reached(updates, updates + 1))


def restore(kept):
    read = []
    return kept.restore(lambda path: read.append(path.read_text())), read


def test_the_newest_is_restored_and_two_are_kept(kept, tmp_path):
    assert restore(kept) == (None, [])
    for updates in (1, 2, 3):
        save(kept, updates)
    assert restore(kept) == (Reached(3, 4), ["agent 3"])
    assert {file.name for file in tmp_path.iterdir()} == {"agent-2", "agent-3", "newest.json", "previous.json"}


def test_after_as_many_updates_there_may_be_more_to_keep(kept):
    for word in ("first", "second"):
        kept.save(lambda path, word=word: path.write_text(word), Reached())
    assert restore(kept) == (Reached(), ["second"])


@pytest.mark.parametrize("damage", ["agent-2", "newest.json"])
def test_a_damaged_one_gives_way_to_the_one_before_and_it_says_so(kept, tmp_path, damage, caplog):
    save(kept, 2)
    save(kept, 3)
    (tmp_path / damage).write_text("{}")
    assert restore(kept) == (Reached(2, 3), ["agent 2"])
    assert "newest.json is damaged; goes on from the checkpoint before, 2 updates" in caplog.text


def test_where_none_is_whole_it_says_so(kept, tmp_path):
    save(kept, 2)
    (tmp_path / "agent-1").unlink()
    with pytest.raises(UserGymError, match=r"no checkpoint in .* is whole"):
        restore(kept)


def test_a_death_at_any_moment_leaves_a_whole_one_and_the_one_before_it(tmp_path, monkeypatch):
    kept, moments = Checkpoints(tmp_path / "kept"), []
    (tmp_path / "kept").mkdir()
    for updates in (1, 2, 3):
        save(kept, updates)

    def watched(function):
        def step(*arguments, **options):
            moments.append(tmp_path / f"moment {len(moments)}")
            shutil.copytree(tmp_path / "kept", moments[-1])  # what a kill would leave here
            return function(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        for name in ("fsync", "replace", "unlink"):
            patch.setattr(os, name, watched(getattr(os, name)))
        save(kept, 4)
    assert len(moments) >= 9  # three files, each synced, put in its place, and its folder synced
    for moment in moments:
        reached, read = restore(Checkpoints(moment))
        assert reached.updates in (3, 4)
        assert read == [f"agent {reached.updates}"]
        save(Checkpoints(moment), 5)
        damage(moment)
        assert restore(Checkpoints(moment))[0] == reached


def damage(folder):
    """Only half of the newest agent is there."""
    (folder / json.loads((folder / "newest.json").read_text())["agent"]).write_text("ag")


def contents(folder):
    return {file.name: file.read_text() for file in folder.iterdir()}


@pytest.mark.parametrize("name", ["agent-4", "previous.json", "newest.json"])
def test_a_full_disk_leaves_both_checkpoints_as_they_were(kept, tmp_path, name):
    for updates in (1, 2, 3):
        save(kept, updates)
    before = contents(tmp_path)
    (tmp_path / f"{name}.tmp").symlink_to("/dev/full")
    with pytest.raises(NoSpace, match=f"no room for .*{name}"):
        save(kept, 4)
    assert contents(tmp_path) == before
    save(kept, 5)
    assert restore(kept)[0] == Reached(5, 6)
    damage(tmp_path)
    assert restore(kept)[0] == Reached(3, 4)


def test_after_a_damaged_one_the_next_has_the_whole_one_before_it(kept, tmp_path):
    for updates in (1, 2, 3):
        save(kept, updates)
    damage(tmp_path)
    assert restore(kept)[0] == Reached(2, 3)
    save(kept, 4)
    damage(tmp_path)
    assert restore(kept)[0] == Reached(2, 3)
