"""What a writer finds after deaths, torn files and other damage is made true again, and the rest stays usable."""

import logging
import shutil
import sqlite3

import numpy as np
import pytest
from stores import STEPS, block, flip, meant, pictured, rewards, segments

from user_gym.errors import BadBlock
from user_gym.system.buffer.catalog import Catalog
from user_gym.system.buffer.segment import FIRST
from user_gym.system.buffer.store import Store


@pytest.fixture
def made(tmp_path):
    """Five episodes in as many segments, closed."""
    with Store.open(tmp_path, segment_bytes=1) as store:
        for episode in range(5):
            store.append([block(episode)])
    assert len(segments(tmp_path)) == 5
    return tmp_path


ALL = meant(*((episode, 0) for episode in range(5)))


@pytest.mark.parametrize("torn", [1, 63, 64, 700])
def test_a_torn_tail_is_cut_off(tmp_path, torn, caplog):
    with Store.open(tmp_path) as store:
        store.append([block(0), block(1)])
    path = segments(tmp_path)[0]
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(block(2).data[:torn])
    with caplog.at_level(logging.WARNING), Store.open(tmp_path) as store:
        assert rewards(store) == meant((0, 0), (1, 0))
        assert path.stat().st_size == size
        assert store.append([block(2)]) == [(8, 4, False)]
        assert rewards(store) == meant((0, 0), (1, 0), (2, 0))
    assert "torn" in caplog.text


def test_a_whole_block_that_the_index_does_not_know_is_entered(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(0)])
    with segments(tmp_path)[0].open("ab") as file:
        file.write(block(1).data)
    with Store.open(tmp_path) as store:
        assert rewards(store) == meant((0, 0), (1, 0))
        assert store.append([block(1)]) == [(4, 4, True)]


@pytest.mark.parametrize("changes", [{"group": "pictures"}, {"wall_time": float("nan")}], ids=str)
def test_a_sound_block_that_cannot_be_stored_does_not_stop_it_from_opening(tmp_path, changes):
    with Store.open(tmp_path) as store:
        store.append([block(0)])
    with segments(tmp_path)[0].open("ab") as file:
        file.write(block(1, **changes).data + block(2).data)
    for _ in range(2):
        with Store.open(tmp_path) as store:
            assert rewards(store) == meant((0, 0), (2, 0))
            assert store.stats()["quarantined_blocks"] == 1


@pytest.mark.parametrize("cut", [1, 1000, 10**6])
def test_blocks_whose_bytes_are_missing_at_the_end_are_quarantined_and_may_come_again(tmp_path, cut):
    with Store.open(tmp_path) as store:
        store.append([block(0), block(1)])
    path = segments(tmp_path)[0]
    with path.open("r+b") as file:
        file.truncate(max(path.stat().st_size - cut, 0))
    left = [] if cut == 10**6 else meant((0, 0))
    with Store.open(tmp_path) as store:
        assert rewards(store) == left
        assert store.stats()["quarantined_blocks"] == 2 - len(left) // STEPS
        assert not store.append([block(1)])[0].repeated
        assert rewards(store) == left + meant((1, 0))


def test_a_segment_that_is_gone_costs_its_blocks_and_gives_them_back_when_it_is_there_again(made, tmp_path_factory):
    path, aside = segments(made)[2], tmp_path_factory.mktemp("aside") / "segment"
    shutil.move(path, aside)
    with Store.open(made) as store:
        assert rewards(store) == [reward for reward in ALL if not 2000 <= reward < 3000]
        assert store.stats()["transitions_quarantined"] == STEPS
        store.append([block(5)])
    shutil.move(aside, path)
    with Store.open(made) as store:
        assert sorted(rewards(store)) == sorted(ALL + meant((5, 0)))
        assert store.stats()["quarantined_blocks"] == 0


def test_a_lost_index_is_made_anew_from_the_segments(made):
    (made / "index.sqlite").unlink()
    with Store.open(made) as store:
        assert rewards(store) == ALL
        assert store.append([block(3)]) == [(12, 4, True)]


@pytest.mark.parametrize("damage", ["garbage", "empty", "half", "page"])
def test_a_damaged_index_is_set_aside_and_made_anew(made, damage):
    path = made / "index.sqlite"
    data = path.read_bytes()
    # A page of the table of segments: what the first look at the files reads.
    page = bytearray(data)
    root = sqlite3.connect(path)
    at = 4096 * (root.execute("SELECT rootpage FROM sqlite_master WHERE name = 'segments'").fetchone()[0] - 1)
    root.close()
    page[at : at + 64] = b"\xff" * 64
    path.write_bytes({"garbage": b"garbage" * 1000, "empty": b"", "half": data[: len(data) // 2], "page": bytes(page)}[damage])
    with Store.open(made) as store:
        assert rewards(store) == ALL
    assert (made / "index.damaged").exists() == (damage != "empty")


def test_damage_of_the_index_that_shows_later_is_named_and_the_next_open_makes_a_new_one(made, monkeypatch):
    def damaged(*_):
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with Store.open(made) as store, monkeypatch.context() as broken:
        broken.setattr(Catalog, "insert", damaged)
        with pytest.raises(BadBlock, match="open it again"):
            store.append([block(5)])
    with Store.open(made) as store:
        assert rewards(store) == ALL
    assert (made / "index.damaged").exists()


@pytest.mark.parametrize("place", ["head", "prefix", "picture"])
def test_a_flipped_bit_is_found_quarantined_and_counted(tmp_path, place):
    with Store.open(tmp_path) as store:
        store.append([pictured(episode) for episode in range(3)])
        entry = store.locate(np.array([STEPS]))[0].entry(0)
        prefix = store.read_prefix(entry).prefix_bytes
    flip(segments(tmp_path)[0], entry.offset + {"head": 8, "prefix": prefix - 100, "picture": prefix + 5000}[place])
    with Store.open(tmp_path) as store:
        with pytest.raises(BadBlock):
            store.read_block(entry).chunk()
        assert [finding.first for finding in store.verify().bad] == [entry.first]
        store.quarantine(entry, "flipped")
        assert rewards(store) == meant((0, 0), (2, 0))
        assert store.stats()["quarantined_blocks"] == 1
        assert store.verify().sound
        assert store.append([pictured(1)]) == [(12, 4, False)]


def test_repair_corrects_rows_that_point_to_another_block(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(episode) for episode in range(3)])
    with sqlite3.connect(tmp_path / "index.sqlite") as database:
        database.execute("UPDATE blocks SET offset = ? WHERE first = 8", (FIRST,))
    database.close()
    with Store.open(tmp_path) as store:
        assert [finding.first for finding in store.verify().bad] == [8]
        store.repair()
        assert store.verify().sound
        assert rewards(store) == meant((0, 0), (1, 0), (2, 0))


def test_a_writer_that_only_reads_may_find_damage_too(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(0), block(1)])
        with Store.open(tmp_path, read_only=True) as reader:
            reader.quarantine(reader.locate(np.array([0]))[0].entry(0), "looks bad from here")
            assert rewards(reader) == meant((1, 0))
        assert rewards(store) == meant((0, 0), (1, 0))
