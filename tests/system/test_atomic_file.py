"""Whatever happens while a file is written, its name leads to all of the new one or all of the old one."""

import json
import os
import stat

import pytest

from user_gym.errors import NoSpace, Unwritable
from user_gym.system.atomic_file import read_json, write_aside, write_json


@pytest.fixture
def steps(monkeypatch):
    """What reaches the disk, in order."""
    seen, fsync, replace = [], os.fsync, os.replace

    def syncing(descriptor):
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        seen.append(("folder" if folder else "file", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def replacing(source, target):
        seen.append(("name", str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", replacing)
    return seen


def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_it_returns(tmp_path, steps):
    path = tmp_path / "x"
    write_json(path, {"a": 1})
    assert steps == [("file", f"{path}.tmp"), ("name", str(path)), ("folder", str(tmp_path))]
    assert read_json(path) == {"a": 1}


def test_what_need_not_survive_a_power_cut_waits_for_no_disk(tmp_path, steps):
    write_json(tmp_path / "x", 1, durable=False)
    assert [what for what, _ in steps] == ["name"]


def test_where_nothing_was_written_there_is_nothing_to_read(tmp_path):
    assert read_json(tmp_path / "x") is None


@pytest.mark.parametrize("before", [None, "before"])
def test_what_fails_in_the_middle_leaves_what_was_there_and_no_rubbish(tmp_path, before):
    path = tmp_path / "x"
    if before:
        path.write_text(before)

    def half(aside):
        aside.write_text("ha")
        raise RuntimeError("power")

    with pytest.raises(RuntimeError, match="power"):
        write_aside(path, half)
    assert [file.read_text() for file in tmp_path.iterdir()] == ([before] if before else [])


def test_a_full_disk_is_named_with_its_file_and_the_file_stays(tmp_path):
    path = tmp_path / "x"
    write_json(path, 1)
    (tmp_path / "x.tmp").symlink_to("/dev/full")
    with pytest.raises(NoSpace, match=rf"no room for {path}: .*No space left on device; free some"):
        write_json(path, 2)
    assert json.loads(path.read_text()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_may_not_be_written_is_named_with_the_cure(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)  # root may write everywhere
    with pytest.raises(Unwritable, match=r"x may not be written: .*Permission denied; give this user the right to, or choose"):
        write_json(tmp_path / "x", 1)
    assert not list(tmp_path.iterdir())
