"""`user-gym buffer`: each subcommand over real buffers, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("system/buffer", "system")]
from pictures import episode
from stores import flip, segments

from user_gym.cli.main import main
from user_gym.system import Buffer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three episodes of nine steps in three chunks, of which the second succeeded."""
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer:
        for number in range(3):
            for chunk in episode(9, number, first=100 * number, chunks=3, source="left"):
                chunk.success[-1] = number == 1 and chunk.sequence == 2
                buffer.append(chunk)
    return tmp_path / "buffer"


def run(*arguments: object) -> int:
    return main(["buffer", *map(str, arguments)])


def length(path: Path) -> int:
    with Buffer.open(path, read_only=True) as buffer:
        return len(buffer)


def test_info_says_what_is_there(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", path) == 0
    page = capsys.readouterr().out
    assert "27 transitions in 3 episodes" in page
    assert "franka-fr3" in page
    assert run("info", path, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    (group,) = content["groups"]
    assert (group["source"], group["episodes"], group["transitions"], group["succeeded"]) == ("left", 3, 27, 1)
    assert content["stats"]["transitions"] == 27
    assert {"name": "obs.camera", "dtype": "uint8", "shape": [40, 40, 3]}.items() <= content["columns"][1].items()


def test_info_counts_who_rewarded_and_what_cannot_be_read(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Buffer.open(path, durability="kill") as buffer:
        for number in (3, 4):
            (chunk,) = episode(9, number, source="left")
            buffer.append(replace(chunk, reward_source=("rule",) * 7 + ("human",) * 2))
    assert run("info", path) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    begin = lines.index(["REWARDED", "BY", "EPISODES", "STEPS"])
    assert lines[begin + 1 : begin + 3] == [["human", "2", "4"], ["rule", "5", "41"]]
    flip(segments(path)[0], 70)  # in the first block, of three steps
    assert run("info", path, "--json") == 0
    sources = json.loads(capsys.readouterr().out)["reward_sources"]
    assert [(said["reward_source"], said["transitions"]) for said in sources] == [("human", 4), ("rule", 38), (None, 3)]
    segments(path)[0].unlink()
    assert run("info", path) == 0
    assert "(cannot be read)  0         45" in capsys.readouterr().out


def test_info_lists_labels(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Buffer.open(path, durability="kill") as buffer:
        buffer.view("episode = 0").relabel("quality", 1.0, "a person")
    assert run("info", path, "--json") == 0
    (label,) = json.loads(capsys.readouterr().out)["labels"]
    assert (label["name"], label["steps"], label["source"]) == ("quality", 9, "a person")


def test_verify_and_repair_find_a_flipped_bit(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", path) == 0
    assert "9 blocks" in capsys.readouterr().out
    file = segments(path)[0]
    flip(file, file.stat().st_size // 2)
    assert run("verify", path) == 1
    said = capsys.readouterr().out
    assert "1 DAMAGED" in said
    assert "repair" in said
    assert run("repair", path) == 0
    assert "1 blocks went into quarantine" in capsys.readouterr().out
    assert run("verify", path) == 0


def test_prune_says_first_what_it_would_do(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prune", path, "--where", "NOT success", "--dry-run") == 0
    assert "would drop 6 of 9 chunks, 18 transitions" in capsys.readouterr().out
    assert length(path) == 27
    assert run("prune", path, "--where", "NOT success", "--compact") == 0
    assert "dropped 6 of 9 chunks, 18 transitions" in capsys.readouterr().out
    assert length(path) == 9


def test_split_and_merge_give_the_whole_again(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("split", path, tmp_path / "good", "--where", "success") == 0
    assert run("split", path, tmp_path / "rest", "--where", "NOT success") == 0
    assert (length(tmp_path / "good"), length(tmp_path / "rest")) == (9, 18)
    for _ in range(2):
        assert run("merge", tmp_path / "good", tmp_path / "rest", tmp_path / "both") == 0
        assert length(tmp_path / "both") == 27
    assert "6 were there already" in capsys.readouterr().out
    assert run("merge", path, tmp_path / "both", tmp_path / "named", "--names", "one", "two") == 0
    assert length(tmp_path / "named") == 54


@pytest.mark.parametrize("names", [("one",), ("one", "one")])
def test_names_are_one_for_each_buffer(
    path: Path, tmp_path: Path, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("merge", path, path, tmp_path / "out", "--names", *names) == 2
    assert "2 different names" in capsys.readouterr().err


def test_export_and_import_keep_everything(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow comes with the extra 'lerobot'")
    assert run("export", path, tmp_path / "set", "--where", "success") == 0
    assert "1 episodes, 9 frames at 10 frames/s" in capsys.readouterr().out
    assert run("import", tmp_path / "new", tmp_path / "set") == 0
    assert run("merge", path, tmp_path / "new") == 0  # the same chunks: nothing contradicts
    assert length(tmp_path / "new") == 27
    assert run("import", tmp_path / "made", path) == 2
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "arguments",
    [("info",), ("verify",), ("repair",), ("show",), ("prune", "--where", "success"), ("merge", "out"), ("export", "out")],
)
def test_a_path_without_a_buffer_stays_as_it_is(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = arguments
    rest = [str(tmp_path / "out") if word == "out" else word for word in rest]
    assert run(command, tmp_path / "none", *rest) == 2
    assert "none" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(command, tmp_path / "empty", *rest) == 2
    assert "holds no buffer" in capsys.readouterr().err
    assert not list((tmp_path / "empty").iterdir())
    assert not (tmp_path / "none").exists()


def test_the_folder_of_a_run_is_answered_with_its_buffer(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", path.parent) == 2
    assert f"take {path}" in capsys.readouterr().err


def test_a_buffer_that_is_written_names_its_writer(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Buffer.open(path, durability="kill"):
        assert run("prune", path, "--where", "success") == 2
        assert f"process {os.getpid()}" in capsys.readouterr().err
        assert run("repair", path) == 2
        assert run("info", path) == 0
        assert run("verify", path) == 0
        assert run("prune", path, "--where", "success", "--dry-run") == 0


def test_an_unknown_column_is_answered_with_the_known_ones(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["prune", path], ["split", path, path.parent / "out"], ["show", path]):
        assert run(*command, "--where", "sucess") == 2
        assert "did you mean 'success'" in capsys.readouterr().err


def test_another_folder_is_not_written_into(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    assert run("merge", path, tmp_path / "mine") == 2
    assert "no buffer" in capsys.readouterr().err
    assert run("merge", path, path) == 2
    assert "the buffer itself" in capsys.readouterr().err


def test_ctrl_c_while_merging_leaves_a_whole_buffer_and_goes_on(path: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom user_gym.cli.main import main\nfrom user_gym.system.buffer import copying\n"
        "copying._MOST = 1\nbefore = copying._block\nseen = []\n"
        "def slowly(*arguments):\n"
        "    seen.append(1)\n"
        "    if len(seen) == 4:\n"
        "        print('ready', flush=True); sys.stdin.read()\n"
        "    return before(*arguments)\n"
        "copying._block = slowly\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "buffer", "merge", str(path), str(tmp_path / "out")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        watch = threading.Timer(60, child.kill)
        watch.start()
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        assert child.wait() == 130
        assert "interrupted; the data is whole" in child.stderr.read()
        watch.cancel()
    assert length(tmp_path / "out") == 9
    assert run("verify", tmp_path / "out") == 0
    assert run("merge", path, tmp_path / "out") == 0
    assert length(tmp_path / "out") == 27


def test_a_merge_brings_what_can_be_read_where_a_segment_is_gone(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Buffer.open(path, segment_bytes=1000) as buffer:
        buffer.append(episode(9, 7, first=700, source="left")[0])
    segments(path)[0].unlink()
    assert main(["buffer", "merge", str(path), str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert "1 blocks copied" in said.out
    assert "left behind" in said.out + said.err
    with Buffer.open(tmp_path / "out") as buffer:
        assert sorted(buffer.read(buffer.numbers()).reward.tolist()) == list(range(700, 709))


def test_repair_says_what_opening_the_folder_has_set_aside_already(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segments(path)[0].unlink()
    assert main(["buffer", "repair", str(path)]) == 0
    said = capsys.readouterr().out
    assert "9 blocks went into quarantine; 9 are there now" in said
    assert "27 before, 0 now" in said


def test_repair_makes_an_index_that_cannot_be_read_anew(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path / "index.sqlite").write_text("no database")
    assert main(["buffer", "info", str(path)]) == 2
    assert "`user-gym buffer repair`" in capsys.readouterr().err
    assert main(["buffer", "repair", str(path)]) == 0
    said = capsys.readouterr()
    assert "not known before, 27 now" in said.out
    assert "`user-gym buffer repair`" not in said.err  # no cure that is being taken
    assert main(["buffer", "verify", str(path)]) == 0


def test_what_a_disk_says_is_one_line(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["buffer", "export", str(path), str(tmp_path / "file" / "dataset")]) == 2
    assert capsys.readouterr().err.startswith("error: [Errno 20]")
