"""What `user-gym buffer` says to who errs: one line with a cure, and nothing is made or changed."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("system/buffer", "system")]
from pictures import episode
from rights import bound

from user_gym.cli.main import main
from user_gym.system import Buffer
from user_gym.testing.storage_suite import steps


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two episodes of six steps in two chunks."""
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer:
        for number in range(2):
            buffer.extend(list(episode(6, number, first=100 * number, chunks=2, source="left")))
    return tmp_path / "buffer"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


class Said:
    """Runs commands: what they answer and say."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str]:
        code = main(["buffer", *map(str, arguments)])
        captured = self._capsys.readouterr()
        return code, captured.err if code == 2 else captured.out


def test_merge_looks_at_all_paths_before_it_copies(path: Path, tmp_path: Path, said: Said) -> None:
    code, words = said("merge", path, tmp_path / "none", tmp_path / "out")
    assert (code, "bad path" in words) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["split", "show", "show --episode left/1"])
def test_a_condition_that_selects_nothing_is_named(path: Path, tmp_path: Path, command: str, said: Said) -> None:
    name, *more = command.split()
    out = [tmp_path / "out"] if name == "split" else more
    code, words = said(name, path, *out, "--where", "robot = 'nobody'")
    assert code == 2
    assert """bad --where "robot = 'nobody'"; allowed: a condition that some step satisfies; `user-gym buffer info`""" in words
    assert not (tmp_path / "out").exists()


def test_show_says_that_a_buffer_is_empty(tmp_path: Path, said: Said) -> None:
    Buffer.open(tmp_path / "empty", durability="kill").close()
    for more in ((), ("--where", "success"), ("--episode", "left/1")):
        code, words = said("show", tmp_path / "empty", *more)
        assert (code, "this one is empty; take another" in words) == (2, True)


@pytest.mark.parametrize("command", ["merge", "split", "info"])
def test_a_file_in_place_of_a_folder_is_named(path: Path, tmp_path: Path, command: str, said: Said) -> None:
    (tmp_path / "one.py").write_text("print()")
    given = {"merge": [path], "split": [path, "--where", "TRUE"], "info": []}[command]
    code, words = said(command, *given[:1], tmp_path / "one.py", *given[1:])
    assert (code, "one.py holds no buffer: it is a file; take a folder" in words) == (2, True)


def test_damaged_labels_are_found_and_set_aside_and_the_rest_is_whole(path: Path, said: Said) -> None:
    with Buffer.open(path, durability="kill") as buffer:
        buffer.view("episode = 0").relabel("quality", 1.0, "a person")
    (path / "labels.sqlite").write_text("garbage\n")
    code, words = said("info", path)
    assert (code, "labels.sqlite cannot be read" in words, "`user-gym buffer repair` it" in words) == (2, True, True)
    code, words = said("verify", path)
    assert (code, "4 blocks" in words, "all sound" in words) == (1, True, True)
    assert "labels DAMAGED: file is not a database" in words
    assert f"`user-gym buffer repair {path}`" in words
    code, words = said("repair", path)
    assert (code, "labels were damaged, and are set aside" in words, "12 before, 12 now" in words) == (0, True, True)
    assert [said(command, path)[0] for command in ("verify", "info")] == [0, 0]


def test_a_label_that_is_not_as_it_was_written_is_found(path: Path, said: Said) -> None:
    with Buffer.open(path, durability="kill") as buffer:
        buffer.view("TRUE").relabel("quality", 1.0, "a person")
    with closing(sqlite3.connect(path / "labels.sqlite")) as database:
        database.execute("UPDATE labels SET data = zeroblob(12) WHERE episode = 1")
        database.commit()
    code, words = said("verify", path)
    assert (code, "labels DAMAGED: of 2 chunks they are not as they were written" in words) == (1, True)
    assert said("repair", path)[0] == 0
    assert said("verify", path)[0] == 0
    (label,) = json.loads(said("info", path, "--json")[1])["labels"]
    assert label["steps"] == 6


def test_info_of_unlike_arms_says_whose_the_columns_are(path: Path, said: Said) -> None:
    assert not any(line.endswith("OF") for line in said("info", path)[1].splitlines())
    with Buffer.open(path, durability="kill") as buffer:
        buffer.append(steps(3, 0, 7, source="right", robot="arx-x5"))
    lines = [line.split() for line in said("info", path)[1].splitlines()]
    begin = lines.index(["COLUMN", "TYPE", "SHAPE", "STORED", "AS", "OF"])
    owners = {line[0]: line[-1] for line in lines[begin + 1 :] if line}
    assert owners["obs.camera"] == "franka-fr3"
    assert owners["reward"] == "all"
    robots = {column["name"]: column["robots"] for column in json.loads(said("info", path, "--json")[1])["columns"]}
    assert robots["obs.camera"] == ["franka-fr3"]
    assert robots["reward"] == ["franka-fr3", "arx-x5"]


@pytest.mark.parametrize("name", ["", "index.sqlite", "labels.sqlite"])
def test_what_may_not_be_read_is_one_line_with_a_cure(path: Path, name: str, said: Said) -> None:
    (path / name).chmod(0)
    with bound():
        code, words = said("info", path)
    (path / name).chmod(0o755)
    assert (code, words.count("\n"), "give this user the right to" in words) == (2, 1, True)
    assert str(path / name) in words


@pytest.mark.parametrize("command", ["show", "show --out", "export"])
def test_a_folder_without_rights_is_named_before_the_work(
    path: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    pytest.importorskip("pyarrow" if command == "export" else "matplotlib")
    locked = tmp_path / "locked"
    locked.mkdir()
    name, *flag = command.split()
    out = [] if command == "show" else [*flag, locked / "new.png"]
    monkeypatch.chdir(locked)
    locked.chmod(0o555)
    with bound():
        code, words = said(name, path, *out)
    locked.chmod(0o755)
    assert (code, f"{locked} gives this user no right to; take " in words) == (2, True)
    assert not list(locked.iterdir())


def test_a_picture_that_may_not_be_written_over_is_named(path: Path, tmp_path: Path, said: Said) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "old.png").write_text("")
    (tmp_path / "old.png").chmod(0o444)
    with bound():
        code, words = said("show", path, "--out", tmp_path / "old.png")
    assert (code, "old.png gives this user no right to; take a file in another folder with --out" in words) == (2, True)
