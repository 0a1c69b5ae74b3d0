"""A folder in which somebody was: files under other names, twice, or that are none."""

import shutil

import pytest
from stores import block, meant, rewards, segments

from user_gym.system.buffer.store import Store

ALL = meant(*((episode, 0) for episode in range(6)))


@pytest.fixture
def folder(tmp_path):
    """Six segments of a block each, all of the same size."""
    with Store.open(tmp_path, segment_bytes=1) as store:
        for episode in range(6):
            store.append([block(episode)])
    assert len({path.stat().st_size for path in segments(tmp_path)}) == 1
    return tmp_path


def test_what_has_the_name_of_a_segment_and_is_no_file_is_left_alone(folder):
    (folder / "segments" / "00000050.ugs").mkdir()
    (folder / "segments" / "00000051.ugs").symlink_to("/dev/zero")
    (folder / "segments" / "00000052.ugs").symlink_to(folder / "nowhere")
    (folder / "segments" / "notes.txt").write_text("a person's")
    for name in ("index.sqlite", None):
        with Store.open(folder) as store:
            assert sorted(rewards(store)) == ALL
        if name:
            (folder / name).unlink()
    assert len(segments(folder)) == 10


def test_a_segment_that_is_there_twice_is_entered_once(folder):
    shutil.copy(segments(folder)[2], folder / "segments" / "00000099.ugs")
    for name in ("index.sqlite", None):
        with Store.open(folder) as store:
            assert sorted(rewards(store)) == ALL
            assert store.verify().sound
        if name:
            (folder / name).unlink()


def test_nothing_is_cut_off_segments_of_other_sizes_that_changed_their_names(tmp_path):
    with Store.open(tmp_path, segment_bytes=1) as store:
        for episode in range(6):
            store.append([block(episode, n=4 + episode)])
    paths = segments(tmp_path)
    for path, to in zip(paths, paths[1:] + paths[:1], strict=True):
        path.rename(tmp_path / to.name)
    for path in paths:
        (tmp_path / path.name).rename(path)
    sizes = [path.stat().st_size for path in paths]
    with Store.open(tmp_path) as store:
        assert [path.stat().st_size for path in paths] == sizes
        store.repair()
        assert store.verify().sound
        assert sorted(rewards(store)) == [reward for episode in range(6) for reward in meant((episode, 0), n=4 + episode)]


def test_verify_finds_segments_that_changed_their_names_and_repair_sets_it_right(folder):
    one, other = segments(folder)[1:3]
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)
    with Store.open(folder) as store:
        assert len(store.verify().bad) == 2
        store.repair()
        assert store.verify().sound
        assert sorted(rewards(store)) == ALL
        with store.lookup.reading() as catalog:
            rows = catalog.database.execute("SELECT first, episode FROM blocks").fetchall()
        for first, episode in rows:
            assert store.read_prefix(store.lookup.find([first]).entry(0)).episode == episode
