"""The newest whole line is found, whatever a killed process, a full disk or another file left there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from records import record

from user_gym.errors import NoSpace, WrongRun
from user_gym.system.metrics import JsonLines, newest


@pytest.fixture
def lines(tmp_path: Path):
    made = JsonLines(tmp_path)
    made.open()
    yield made
    made.close()


def test_a_reader_sees_each_record_at_once(lines: JsonLines, tmp_path: Path) -> None:
    for steps in (1, 2):
        lines.write(record(env_steps=steps))
        assert newest(tmp_path).env_steps == steps
    assert (tmp_path / "metrics.jsonl").read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("left", [b'{"format":1,"ru', b"\0" * 100, b'{"format":2}\n', b"\n\n", b"[]\n\xff"])
def test_what_a_killed_process_left_is_passed_over(tmp_path: Path, left: bytes) -> None:
    first = JsonLines(tmp_path)
    first.open()
    first.write(record(env_steps=1))
    first.close()
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(left)
    assert newest(tmp_path).env_steps == 1
    first.open()
    first.open()
    first.write(record(env_steps=2))
    first.close()
    first.close()
    assert newest(tmp_path).env_steps == 2


def test_a_record_longer_than_what_is_read_first_is_found(lines: JsonLines, tmp_path: Path) -> None:
    lines.write(record(env_steps=7, robots=record().robots * 1000))
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b"x" * 300_000)
    assert newest(tmp_path).env_steps == 7


def test_a_full_file_makes_place_and_the_newest_record_is_always_there(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path, limit=3000)
    lines.open()
    for steps in range(20):
        lines.write(record(env_steps=steps))
        assert newest(tmp_path).env_steps == steps
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 10_000
    lines.close()
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "metrics.earlier.jsonl"}
    (tmp_path / "metrics.jsonl").unlink()  # as between the two
    assert 0 < newest(tmp_path).env_steps < 20


def test_a_line_that_the_disk_takes_in_part_is_an_error_and_the_next_one_is_whole(
    lines: JsonLines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    lines.write(record(env_steps=1))
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:100]))
    with pytest.raises(NoSpace, match=r"no room for .*metrics.jsonl: 100 of \d+ bytes"):
        lines.write(record(env_steps=2))
    monkeypatch.undo()
    assert newest(tmp_path).env_steps == 1
    lines.write(record(env_steps=3))
    assert newest(tmp_path).env_steps == 3


def test_a_path_without_records_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongRun, match="none is not there; take the folder of a run"):
        newest(tmp_path / "none")
    with pytest.raises(WrongRun, match=r"holds no metrics.jsonl"):
        newest(tmp_path)
    file = tmp_path / "metrics.jsonl"
    file.write_text("thesis\n")
    with pytest.raises(WrongRun, match=r"metrics.jsonl holds no whole record"):
        newest(tmp_path)
    with pytest.raises(WrongRun, match="is a file"):
        newest(file)
