"""A power cut takes what was not written through. The disk here is a model: a copy of the files as far as they were synced."""

import os
import random
import shutil
from pathlib import Path

import pytest
from stores import block, meant, pictured, rewards

from user_gym.system.buffer import connection, files, tiers
from user_gym.system.buffer.files import FOLDER, Files
from user_gym.system.buffer.store import Store

WAL = f"{connection.NAME}-wal"


class Disk(Files):
    """Remembers how much of each file, and which names, survive a power cut."""

    def __init__(self, folder):
        super().__init__(folder)
        self.sizes, self.names, self.log = {}, set(), 0

    def sync(self, opened):
        size = os.path.getsize(opened.path)
        super().sync(opened)
        self.sizes[opened.path.name] = max(size, self.sizes.get(opened.path.name, 0))

    def sync_folder(self, place=0):
        names = {path.name for path in self.places[place].iterdir()}
        super().sync_folder(place)
        self.names |= names

    def sync_index(self, path):
        size = path.stat().st_size
        super().sync_index(path)
        self.log = size


def after_power_cut(store, to, durable, rng):
    """What is left: of what was not synced nothing, or a part, or zeros. Commits of SQLite sync its log if `durable`."""
    disk = store.files
    shutil.copytree(store.folder, to)
    for path in (to / FOLDER).iterdir():
        size, safe = path.stat().st_size, disk.sizes.get(path.name, 0)
        if path.name not in disk.names:
            path.unlink()
            continue
        kept = rng.choice([safe, rng.randint(safe, max(size, safe)), size])
        with path.open("r+b") as file:
            file.truncate(kept)
            if rng.random() < 0.5:
                file.seek(safe)
                file.write(bytes(kept - safe))
    (to / f"{connection.NAME}-shm").unlink()
    if not durable:
        with (to / WAL).open("r+b") as file:
            file.truncate(rng.choice([disk.log, rng.randint(disk.log, (to / WAL).stat().st_size)]))
    return to


@pytest.mark.parametrize("seed", range(6))
def test_at_level_power_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path, seed):
    rng = random.Random(seed)
    with Store.open(tmp_path / "store", segment_bytes=20_000, files=Disk) as store:
        for episode in range(8):
            store.append([pictured(episode)])
            if rng.random() < 0.3:
                copy = after_power_cut(store, tmp_path / f"cut-{episode}", True, rng)
                with Store.open(copy) as again:
                    assert rewards(again) == meant(*((one, 0) for one in range(episode + 1)))


@pytest.mark.parametrize("seed", range(8))
def test_at_level_kill_it_takes_only_what_came_after_the_last_writing_through(tmp_path, seed, monkeypatch):
    monkeypatch.setattr("user_gym.system.buffer.housekeeping.SYNC_EVERY", 3600)
    rng = random.Random(seed)
    with Store.open(tmp_path / "store", durability="kill", segment_bytes=20_000, files=Disk) as store:
        store.append([block(0)])
        store.sync()
        safe = {0}
        for episode in range(1, 12):
            store.append([pictured(episode)])
            if rng.random() < 0.3:
                store.sync()
                safe = set(range(episode + 1))
        copy = after_power_cut(store, tmp_path / "cut", False, rng)
    with Store.open(copy) as again:
        found = {int(reward // 1000) for reward in rewards(again)}
        assert safe <= found <= set(range(12))
        assert sorted(rewards(again)) == meant(*((episode, 0) for episode in sorted(found)))
        answers = again.append([block(0), *(pictured(episode) for episode in range(1, 12))])
        assert [answer.repeated for answer in answers] == [episode in found for episode in range(12)]
        assert sorted(rewards(again)) == meant(*((episode, 0) for episode in range(12)))


def test_at_level_kill_writing_through_comes_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("user_gym.system.buffer.housekeeping.SYNC_EVERY", 0.01)
    with Store.open(tmp_path, durability="kill", files=Disk) as store:
        store.append([block(0)])
        for _ in range(3000):
            if store.files.log and store.files.sizes:
                break
            store._housekeeping._thread.join(0.01)
            store._housekeeping.check()
        assert store.files.log
        assert store.files.sizes


def test_bytes_that_a_power_cut_turned_into_zeros_are_not_taken_for_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("user_gym.system.buffer.housekeeping.SYNC_EVERY", 3600)
    with Store.open(tmp_path / "store", durability="kill") as store:
        store.append([pictured(0)])
        store.sync()
        store.append([pictured(1)])
        safe = store.files.path(1).stat().st_size // 2
        shutil.copytree(store.folder, tmp_path / "cut")
    with (tmp_path / "cut" / FOLDER / "00000001.ugs").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(safe + 10_000)
        file.write(bytes(size - safe - 10_000))  # the prefix of the block is there, and half of its pictures
    with Store.open(tmp_path / "cut") as again:
        assert rewards(again) == meant((0, 0))
        assert again.append([pictured(1)]) == [(8, 4, False)]


@pytest.mark.parametrize("seed", range(4))
def test_a_file_is_deleted_only_when_no_power_cut_can_bring_back_a_row_that_names_it(tmp_path, seed, monkeypatch):
    monkeypatch.setattr("user_gym.system.buffer.housekeeping.SYNC_EVERY", 3600)
    rng = random.Random(seed)
    with Store.open(tmp_path / "store", durability="kill", segment_bytes=5000, files=Disk) as store:
        store.append([block(episode) for episode in range(4)])
        store.append([block(episode) for episode in range(4, 12)])
        store.append([block(12)])
        store.sync()
        store.prune("episode >= 4 AND episode < 10")
        store.compact(0.1)
        copy = after_power_cut(store, tmp_path / "cut", False, rng)
    with Store.open(copy) as again:
        kept = {0, 1, 2, 3, 10, 11, 12}
        assert kept <= {int(reward // 1000) for reward in rewards(again)}
        assert again.verify().sound
        assert not again.stats()["quarantined_blocks"]


def test_at_level_power_sqlite_writes_each_commit_through(tmp_path):
    for durability, level in (("power", 2), ("kill", 1)):
        with Store.open(tmp_path, durability=durability) as store, store._writing.transaction() as catalog:
            assert catalog.database.execute("PRAGMA synchronous").fetchone() == (level,)


def test_the_folders_of_a_new_buffer_and_of_a_cold_disk_survive_one(tmp_path, monkeypatch):
    synced, sync = [], files.sync
    monkeypatch.setattr(files, "sync", lambda path: (synced.append(path), sync(path)))
    with Store.open(tmp_path / "runs" / "buffer") as store:
        assert synced[:3] == [tmp_path, tmp_path / "runs", tmp_path / "runs" / "buffer"]
        store.move_cold(tmp_path / "disk" / "cold")
        assert tmp_path / "disk" in synced


def test_what_is_entered_when_it_is_opened_after_a_kill_survives_one(tmp_path, monkeypatch):
    monkeypatch.setattr("user_gym.system.buffer.housekeeping.SYNC_EVERY", 3600)
    with Store.open(tmp_path / "store", durability="kill") as store:
        store.append([pictured(0)])
        shutil.copytree(store.folder, tmp_path / "killed")
    with Store.open(tmp_path / "killed", files=Disk) as again:
        assert rewards(again) == meant((0, 0))
        assert again.files.sizes == {"00000001.ugs": (again.folder / FOLDER / "00000001.ugs").stat().st_size}


def test_a_segment_leaves_its_disk_when_the_copy_and_the_row_survive_one(tmp_path, monkeypatch):
    done, sync, log, unlink = [], tiers.sync, Files.sync_index, Path.unlink
    folder = Files.sync_folder
    monkeypatch.setattr(tiers, "sync", lambda path: (done.append("copy"), sync(path)))
    monkeypatch.setattr(Files, "sync_folder", lambda self, place: (done.append(f"folder {place}"), folder(self, place)))
    monkeypatch.setattr(Files, "sync_index", lambda self, path: (done.append("row"), log(self, path)))
    monkeypatch.setattr(Path, "unlink", lambda path, **options: (done.append(path.name), unlink(path, **options)))
    monkeypatch.setattr("user_gym.system.buffer.housekeeping.SYNC_EVERY", 3600)
    with Store.open(tmp_path / "store", durability="kill", segment_bytes=1) as store:
        store.append([block(0)])
        store.append([block(1)])
        done.clear()
        store.move_cold(tmp_path / "cold")
        assert done == ["copy", "folder 1", "row", "00000001.ugs"]
