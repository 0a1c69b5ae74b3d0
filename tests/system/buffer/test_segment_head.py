"""The head of a segment is the same for all: damaged, it costs no block."""

import numpy as np
import pytest
from stores import block, flip, meant, rewards, segments

from user_gym.errors import WrongRun
from user_gym.system import Buffer
from user_gym.system.buffer.segment import SEGMENT_HEAD
from user_gym.system.buffer.store import Store

ALL = meant(*((episode, 0) for episode in range(8)))
INDEX = ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm")


@pytest.fixture(params=[0, -1], ids=["full", "appended to"])
def which(request, tmp_path):
    """Number of a segment of a store that was closed; more than one is there."""
    with Store.open(tmp_path, segment_bytes=5000) as store:
        for episode in range(8):
            store.append([block(episode)])
    return request.param


@pytest.mark.parametrize("at", [0, 4, 5])
def test_a_flipped_bit_in_it_leaves_all_readable_and_the_folder_writable(tmp_path, which, at):
    flip(segments(tmp_path)[which], at)
    for read_only in (True, False):
        with Buffer.open(tmp_path, cache_bytes=0, read_only=read_only, segment_bytes=5000) as buffer:
            assert set(buffer.sample(400, np.random.default_rng(0)).reward.tolist()) == set(ALL)
    with Store.open(tmp_path, segment_bytes=5000) as store:
        (found,) = store.verify().bad
        assert found.group == "head"
        store.append([block(8)])
        assert rewards(store) == [*ALL, *meant((8, 0))]
        store.repair()
        assert store.verify().sound
        assert store.stats()["quarantined_blocks"] == 0
    assert segments(tmp_path)[which].read_bytes()[:64] == SEGMENT_HEAD


@pytest.mark.parametrize("at", [0, 4])
def test_without_the_index_too(tmp_path, which, at):
    flip(segments(tmp_path)[which], at)
    for name in INDEX:
        (tmp_path / name).unlink(missing_ok=True)
    with Store.open(tmp_path) as store:
        assert sorted(rewards(store)) == ALL
        assert store.verify().sound


def test_a_segment_of_another_version_is_refused_and_not_cut(tmp_path, which):
    """All its blocks are of that version too; without an index nobody else says so."""
    path = segments(tmp_path)[which]
    data = path.read_bytes().replace(b"UGB1\1\0", b"UGB1\2\0").replace(b"UGS1\1\0", b"UGS1\2\0")
    path.write_bytes(data)
    for name in INDEX:
        (tmp_path / name).unlink(missing_ok=True)
    for _ in range(2):
        with pytest.raises(WrongRun, match=r"version 2; allowed: 1; open it with the version"):
            Store.open(tmp_path)
        assert path.read_bytes() == data


def test_a_segment_that_ends_inside_it_is_made_whole(tmp_path, which):
    path = segments(tmp_path)[which]
    path.write_bytes(path.read_bytes()[:40])
    with Store.open(tmp_path) as store:
        assert set(rewards(store)) < set(ALL)
        store.append([block(8)])
        assert store.verify().sound
