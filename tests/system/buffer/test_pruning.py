"""Blocks leave by condition or number; what depended on them is not sampled; files are deleted or written anew."""

import threading

import numpy as np
import pytest
from stores import STEPS, block, flip, meant, rewards, segments

from user_gym.errors import BadOption, Gone
from user_gym.system.buffer import compaction, tiers
from user_gym.system.buffer.store import Store


def test_a_condition_prunes_the_blocks_of_which_every_step_satisfies_it(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(episode, source="ab"[episode % 2]) for episode in range(6)])
        store.prune("source = 'b'")
        assert rewards(store) == meant((0, 0), (2, 0), (4, 0))
        store.prune("policy_version < 2002")  # the block of episode 2 has younger steps too
        assert rewards(store) == meant((2, 0), (4, 0))
        with pytest.raises(BadOption):
            store.prune("nonsense")
        with Store.open(tmp_path, read_only=True) as reader:
            assert rewards(reader) == meant((2, 0), (4, 0))
        stats = store.stats()
        assert (stats["transitions"], stats["transitions_ever"], stats["transitions_pruned"]) == (8, 24, 16)


def test_the_first_transition_of_a_block_whose_predecessor_left_is_orphaned(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(0, 0), block(0, 1, follows=True), block(0, 2, follows=True), block(1, 0), block(1, 1)])
        found, step = store.locate(np.array([4]))
        assert (found.before[0], step[0]) == (0, 0)
        store.prune(firsts=[0, 12])
        assert rewards(store) == meant((0, 1))[1:] + meant((0, 2), (1, 1))
        assert store.lookup.find(np.array([5])).entry(0).before == -1
        store.prune(firsts=[4])
        assert rewards(store) == meant((0, 2))[1:] + meant((1, 1))
        assert store.stats()["transitions_orphaned"] == 1
        store.prune(firsts=[8])
        assert rewards(store) == meant((1, 1))
        assert store.stats()["transitions_orphaned"] == 0
    with Store.open(tmp_path) as store:
        assert rewards(store) == meant((1, 1))


def test_a_block_that_comes_before_its_predecessor_is_orphaned_until_that_comes(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(0, 1, follows=True)])
        assert store.lookup.wait(30)
        assert rewards(store) == meant((0, 1))[1:]
        assert store.lookup.following(np.array([0])).tolist() == [-1]
        store.append([block(0, 0)])
        assert rewards(store) == meant((0, 1), (0, 0))
        assert store.locate(np.array([0]))[0].before.tolist() == [4]
        assert store.lookup.following(np.array([4, 0])).tolist() == [0, -1]


def test_pruned_ranges_keep_ordinals_dense(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(episode) for episode in range(30)])
        store.prune(firsts=[first for first in range(0, 30 * STEPS, STEPS) if first % 3])
        kept = [episode for episode in range(30) if (episode * STEPS) % 3 == 0]
        assert rewards(store) == meant(*((episode, 0) for episode in kept))
        with pytest.raises(BadOption, match="ordinal"):
            store.locate(np.array([len(store)]))


def test_what_left_after_it_was_drawn_says_so(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(0), block(1)])
        live = store.live
        store.prune(firsts=[4])
        with pytest.raises(Gone):
            store.locate(np.array([5]), live)


def test_files_in_which_nothing_lives_are_deleted_and_who_reads_one_goes_on(tmp_path):
    with Store.open(tmp_path, segment_bytes=1) as store:
        store.append([block(0)])
        store.append([block(1)])
        store.append([block(2)])
        entry = store.locate(np.array([0]))[0].entry(0)
        with store.files.use(entry.segment) as segment:
            store.prune("episode = 0")
            assert len(segments(tmp_path)) == 2
            assert segment.read(entry.offset, entry.nbytes) == block(0).data
        with pytest.raises(Gone):
            store.read_block(entry)


def test_a_segment_that_is_appended_to_stays_when_nothing_lives_in_it(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(0)])
        store.prune("episode = 0")
        store.append([block(1)])
        assert rewards(store) == meant((1, 0))


@pytest.fixture
def sparse(tmp_path):
    """Ten blocks in one full segment, of which three live, and one block behind them."""
    with Store.open(tmp_path) as store:
        store.append([block(episode) for episode in range(10)])
        store._writing.retire()
        store.append([block(10)])
        store.prune("episode > 1 AND episode < 9")
        yield store


LEFT = meant((0, 0), (1, 0), (9, 0), (10, 0))


def test_a_segment_that_is_mostly_dead_is_written_anew(sparse):
    with Store.open(sparse.folder, read_only=True) as reader:
        old = reader.locate(np.arange(12))[0]
        before = sum(path.stat().st_size for path in segments(sparse.folder))
        won = sparse.compact()
        assert won > 5 * len(block(0).data)
        assert sum(path.stat().st_size for path in segments(sparse.folder)) == before - won
        assert rewards(sparse) == rewards(reader) == LEFT
        assert reader.read_block(old.entry(0)).head.episode == 0  # found where it lies now
    assert sparse.verify().sound
    sparse.close()
    with Store.open(sparse.folder) as again:
        assert rewards(again) == LEFT
        assert again.append([block(3), block(11)]) == [(12, 4, True), (44, 4, False)]


@pytest.mark.parametrize("at", ["_copy", "_replace", "delete_empty"])
def test_a_death_at_any_point_of_compaction_costs_nothing(sparse, monkeypatch, at):
    class Death(BaseException):
        """As if the process ended here."""

    def die(*_):
        raise Death

    with monkeypatch.context() as broken:
        broken.setattr(compaction, at, die)
        broken.setattr(type(sparse.files), "remove", die)  # nothing is tidied up any more
        with pytest.raises(Death):
            sparse.compact()
    sparse._writing._writer.abandon()
    sparse.lookup.close()
    sparse._housekeeping.close()
    sparse._writing._writer.catalog.database.close()
    sparse._lock.release()
    sparse._closed = True
    with Store.open(sparse.folder) as again:
        assert rewards(again) == LEFT
        assert again.verify().sound
        again.compact()
        assert rewards(again) == LEFT
        assert len(segments(sparse.folder)) == 2


def test_compaction_quarantines_what_is_damaged_and_keeps_the_rest(sparse):
    entry = sparse.locate(np.array([4]))[0].entry(0)
    flip(sparse.files.path(entry.segment), entry.offset + 70)
    sparse.compact()
    assert rewards(sparse) == meant((0, 0), (9, 0), (10, 0))
    assert sparse.stats()["quarantined_blocks"] == 1


def test_segments_move_to_a_cold_disk_and_back(tmp_path):
    folder, cold = tmp_path / "store", tmp_path / "cold"
    with Store.open(folder, segment_bytes=1) as store:
        for episode in range(5):
            store.append([block(episode)])
        reader = Store.open(folder, read_only=True)
        every = rewards(store)
        assert store.move_cold(cold, keep_bytes=3000) > 0
        assert len(list(cold.iterdir())) == 3
        assert rewards(store) == every == rewards(reader)
        reader.close()
        store.append([block(5)])
    (folder / "index.sqlite").unlink()
    with Store.open(folder) as store:
        assert sorted(rewards(store)) == every + meant((5, 0))
        tiers.move(store._writing, sorted(store.files.found(1)), folder / "segments")
        assert not list(cold.iterdir())
        assert sorted(rewards(store)) == every + meant((5, 0))


def test_appends_do_not_wait_while_a_segment_moves(tmp_path, monkeypatch):
    copy, appended = tiers.shutil.copyfile, []

    def slow(old, new):
        thread = threading.Thread(target=lambda: appended.append(store.append([block(2)])), daemon=True)
        thread.start()
        thread.join(10)
        assert appended
        copy(old, new)

    monkeypatch.setattr(tiers.shutil, "copyfile", slow)
    with Store.open(tmp_path / "store", segment_bytes=1) as store:
        store.append([block(0)])
        store.append([block(1)])
        assert store.move_cold(tmp_path / "cold") > 0
        assert rewards(store) == meant((0, 0), (1, 0), (2, 0))
