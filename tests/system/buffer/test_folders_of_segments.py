"""The folders of segments, while others add to them and take from them."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest
from stores import block, meant, rewards

from user_gym.errors import Gone
from user_gym.system.buffer.files import FOLDER, HERE, Files, name
from user_gym.system.buffer.memory import MemoryFiles
from user_gym.system.buffer.segment import Segment
from user_gym.system.buffer.store import Store


def test_a_segment_that_goes_while_the_folder_is_listed_is_not_found(tmp_path):
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / name(1)).write_bytes(b"abc")
    (folder / name(2)).symlink_to("gone")  # listed, and has no size: as one that a quota removes in between
    (folder / "notes.txt").write_bytes(b"")
    assert Files(tmp_path).found(HERE) == {1: 3}


@pytest.mark.parametrize("files", [Files, MemoryFiles])
def test_who_opens_a_segment_while_it_is_removed_does_not_keep_its_bytes(tmp_path, files, monkeypatch):
    (tmp_path / FOLDER).mkdir()
    opened = files(tmp_path)
    opened.create(1).close()
    before = len(os.listdir("/proc/self/fd"))
    unlink = Path.unlink

    def late(path: Path, missing_ok: bool = False) -> None:
        with suppress(Gone), opened.use(1):
            pass
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", late)
    opened.remove(1)
    assert len(os.listdir("/proc/self/fd")) == before - (files is MemoryFiles)
    opened.close()


@pytest.mark.parametrize("fails", [(Segment, "append"), (Files, "sync_folder")])
def test_a_segment_that_cannot_be_begun_leaves_no_file(tmp_path, fails, monkeypatch):
    """A disk that is full for an hour is asked thousands of times."""
    (tmp_path / FOLDER).mkdir()
    files, before = Files(tmp_path), len(os.listdir("/proc/self/fd"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(*fails, full)
    with pytest.raises(OSError, match="full"):
        files.create(1)
    assert files.found(HERE) == {}
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_reader_lets_go_of_files_that_the_writer_deletes(tmp_path):
    """Open, each would keep a descriptor, and its bytes on the disk."""
    with Store.open(tmp_path, segment_bytes=1) as store, Store.open(tmp_path, read_only=True) as reader:
        for episode in range(6):
            store.append([block(episode)])
        assert rewards(reader) == meant(*((episode, 0) for episode in range(6)))
        store.prune("policy_version < 4000")
        assert rewards(reader) == meant((4, 0), (5, 0))
        assert not [
            link for link in map(os.readlink, _descriptors()) if link.startswith(f"{tmp_path}/{FOLDER}") and "deleted" in link
        ]


def _descriptors() -> list[str]:
    """Of this process, as far as they are still open."""
    return [path for number in os.listdir("/proc/self/fd") if os.path.lexists(path := f"/proc/self/fd/{number}")]
