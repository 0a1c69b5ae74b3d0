"""A file of labels that is damaged, another's, or may not be opened: what is said, and what becomes of it."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest
from rights import bound

from user_gym.errors import Unwritable, WrongRun
from user_gym.system.buffer import label_file
from user_gym.system.buffer.label_file import NAME
from user_gym.system.buffer.labels import Labelled, Labels

ONES = np.ones(4, np.float32)
GARBAGE = b"no database at all, but text" * 9


def opened(folder, **options):
    return Labels.open(folder, lambda source, episode, sequence: (4 * episode, 4), **options)


@pytest.fixture
def folder(tmp_path):
    """Three chunks, each labelled twice: 1, then 2."""
    with closing(opened(tmp_path)) as labels:
        for value in (1, 2):
            labels.write("score", "x", [Labelled("a", episode, 0, value * ONES, ONES > 0) for episode in range(3)])
    return tmp_path


def scores(folder):
    with closing(opened(folder)) as labels:
        return labels.at("score", np.arange(0, 12, 4)).tolist() if labels.names else []


def change(folder, statement):
    with closing(sqlite3.connect(folder / NAME)) as database:
        database.execute(statement)
        database.commit()


def test_sound_labels_stay_as_they_are(folder):
    before = (folder / NAME).read_bytes()
    assert str(label_file.damage(folder)) == ""
    assert str(label_file.repair(folder)) == ""
    assert (folder / NAME).read_bytes() == before


@pytest.mark.parametrize("made", [False, True])
def test_none_and_an_empty_file_are_no_labels(tmp_path, made):
    if made:  # a kill came before its tables were there
        (tmp_path / NAME).touch()
    assert str(label_file.damage(tmp_path)) == ""
    assert str(label_file.repair(tmp_path)) == ""
    with closing(opened(tmp_path, read_only=True)) as labels:
        assert labels.names == ()
    assert (tmp_path / NAME).exists() == made


def test_labels_that_are_not_as_they_were_written_leave_and_older_ones_count(folder):
    change(folder, "UPDATE labels SET data = zeroblob(16) WHERE episode = 1 AND version = 2")
    change(folder, "UPDATE labels SET data = zeroblob(16) WHERE episode = 2")
    assert "of 3 chunks" in str(label_file.damage(folder))
    assert len(label_file.repair(folder).rows) == 3
    assert str(label_file.damage(folder)) == ""
    np.testing.assert_array_equal(scores(folder), [2, 1, np.nan])


def torn(data):
    """All pages but the first, by which it is known, are another's."""
    return data[:4096] + bytes(len(data) - 4096)


@pytest.mark.parametrize("damaged", [lambda data: GARBAGE, lambda data: data[:100] + GARBAGE, torn])
def test_a_file_that_cannot_be_read_is_moved_aside(folder, damaged, caplog):
    bytes_then = damaged((folder / NAME).read_bytes())
    (folder / NAME).write_bytes(bytes_then)
    assert label_file.damage(folder).file
    assert (folder / NAME).read_bytes() == bytes_then
    assert label_file.repair(folder).file
    (aside,) = folder.glob(f"{NAME}.damaged-*")
    assert aside.read_bytes() == bytes_then
    assert str(aside) in caplog.text
    assert str(label_file.damage(folder)) == ""
    assert scores(folder) == []


def test_damage_that_is_met_later_is_named_with_its_cure(folder):
    (folder / NAME).write_bytes(torn((folder / NAME).read_bytes()))
    with closing(opened(folder, read_only=True)) as labels:
        for ask in (lambda: labels.names, labels.versions, lambda: labels.at("score", np.arange(4))):
            with pytest.raises(WrongRun, match=r"labels of the buffer are damaged: .*; close .*`user-gym buffer repair`"):
                ask()
    with closing(opened(folder)) as labels, pytest.raises(WrongRun, match="`user-gym buffer repair`"):
        labels.write("score", "y", [])


@pytest.mark.parametrize("pragma", ["user_version = 2", "application_id = 7"])
def test_one_of_another_version_or_program_is_left_alone(folder, pragma):
    change(folder, f"PRAGMA {pragma}")
    before = (folder / NAME).read_bytes()
    for look in (label_file.damage, label_file.repair, opened):
        with pytest.raises(WrongRun, match=rf"^{folder / NAME} holds no labels of this version"):
            look(folder)
    assert (folder / NAME).read_bytes() == before


def test_one_that_may_not_be_read_is_named_with_a_cure(folder):
    (folder / NAME).chmod(0)
    for look in (label_file.damage, label_file.repair, opened):
        with bound(), pytest.raises(Unwritable, match=r"cannot be opened: unable to open.*; give this user the right to"):
            look(folder)
