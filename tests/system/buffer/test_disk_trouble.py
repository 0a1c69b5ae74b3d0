"""A full disk, media that cannot be written, rights that are lost: an error that says what to do, and nothing half stored."""

import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from stores import block, meant, pictured, rewards, segments

from user_gym.errors import NoSpace, Unwritable
from user_gym.system.buffer import reserve, snapshot
from user_gym.system.buffer.segment import Segment
from user_gym.system.buffer.store import Store


@pytest.fixture
def small(tmp_path):
    """A file system of 4 MB of our own."""
    if (
        os.getuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", tmp_path], capture_output=True).returncode
    ):
        pytest.skip("only root may mount a small disk")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def fill(store, episodes) -> tuple[int, str]:
    """Append until the disk is full: how many there was room for, and what is said then."""
    for count, episode in enumerate(episodes):
        try:
            store.append([pictured(episode)])
        except NoSpace as error:
            return count, str(error)
    return len(episodes), ""


def mounted(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", path], check=True)


@pytest.mark.parametrize("durability", ["power", "kill"])
def test_a_full_disk_refuses_whole_appends_and_takes_them_when_there_is_room(small, durability):
    ballast = small / "ballast"
    with Store.open(small / "store", durability=durability) as store:
        store.append([pictured(0)])
        ballast.write_bytes(bytes(3_000_000))
        more, said = fill(store, range(1, 60))
        stored = 1 + more
        assert 1 < stored < 60
        assert re.search(r"store: \d+ bytes are free.*free some, prune", said)
        before = meant(*((episode, 0) for episode in range(stored)))
        assert rewards(store) == before
        size = sum(path.stat().st_size for path in segments(small / "store"))
        with pytest.raises(NoSpace):
            store.append([pictured(50), pictured(51), pictured(52), pictured(53)])
        assert sum(path.stat().st_size for path in segments(small / "store")) == size
        assert rewards(store) == before
        ballast.unlink()
        assert store.append([pictured(50)]) == [(4 * stored, 4, False)]
        assert rewards(store) == [*before, *meant((50, 0))]
    with Store.open(small / "store") as store:
        assert rewards(store) == [*before, *meant((50, 0))]


def test_a_full_disk_can_be_opened_and_pruned(small, monkeypatch):
    monkeypatch.setattr(reserve, "SIZE", 400_000)
    with Store.open(small / "store", segment_bytes=1) as store:
        fill(store, range(200))
    with Store.open(small / "store", segment_bytes=1) as store:
        count = len(store)
        store.prune("episode < 10")
        assert len(store) == count - 40
        assert not store.append([pictured(500)])[0].repeated


def test_a_file_that_may_not_grow_any_more_is_a_full_disk(tmp_path):
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[2]); from stores import *; from user_gym.errors import NoSpace\n"
        "with Store.open(sys.argv[1]) as store:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "    for episode in range(20):\n"
        "        try: store.append([pictured(episode)])\n"
        "        except NoSpace as error: print(episode, error)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "    print(len(rewards(store)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    *refused, length = ran.stdout.splitlines()
    assert len(refused) > 5
    assert int(length) == 4 * (20 - len(refused))
    with Store.open(tmp_path) as store:
        assert len(rewards(store)) == int(length)


def test_media_that_cannot_be_written_are_read(small):
    with Store.open(small / "store") as store:
        store.append([block(0), block(1)])
    mounted(small, "ro")
    with Store.open(small / "store", read_only=True) as store:
        assert rewards(store) == meant((0, 0), (1, 0))
    with pytest.raises(Unwritable, match="read_only=True"):
        Store.open(small / "store")
    mounted(small, "rw")


def test_media_that_cannot_be_written_are_read_also_after_a_kill(small):
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); from stores import *\n"
        "Store.open(sys.argv[1]).append([block(0), block(1)]); os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(small / "store"), str(Path(__file__).parent)], check=True, timeout=60)
    log = small / "store" / "index.sqlite-wal"
    assert log.stat().st_size
    (small / "store" / "index.sqlite-shm").unlink()
    mounted(small, "ro")
    with Store.open(small / "store", read_only=True) as store:
        assert rewards(store) == meant((0, 0), (1, 0))
    mounted(small, "rw")


def test_rights_that_are_lost_while_it_is_open_are_named(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    with Store.open(tmp_path) as store:
        store.append([block(0)])
        with monkeypatch.context() as broken:
            broken.setattr(Segment, "append", refused)
            with pytest.raises(Unwritable, match="give this user the right"):
                store.append([block(1)])
        assert rewards(store) == meant((0, 0))
        assert not store.append([block(1)])[0].repeated


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match="cannot be made"):
        Store.open(tmp_path / "file" / "store")


def test_no_room_for_what_is_done_beside_appends_stops_no_append(tmp_path, monkeypatch, caplog):
    refused, packed, pack = threading.Event(), threading.Event(), snapshot.pack

    def full(*given, **named):
        if not refused.is_set():
            refused.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        packed.set()
        return pack(*given, **named)

    monkeypatch.setattr(snapshot, "pack", full)
    with Store.open(tmp_path) as store:
        store.append([block(0)])
        assert refused.wait(60)
        while not packed.wait(0.01):
            store.append([block(len(store))])
        assert "no room for buffer" in caplog.text
