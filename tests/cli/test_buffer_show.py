"""An episode on a page, and how far a long command is."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("system/buffer", "system")]
from pictures import episode, picture

from user_gym.cli.buffer.footage import footage
from user_gym.cli.buffer.progress import Progress
from user_gym.cli.main import main
from user_gym.system import Buffer


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer:
        for number in range(3):
            for chunk in episode(12, number, first=100 * number, chunks=2, source="left"):
                buffer.append(chunk)
    return tmp_path / "buffer"


def test_the_newest_episode_becomes_a_picture(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    assert main(["buffer", "show", str(path)]) == 0
    said = capsys.readouterr().out
    assert "left-2.png: left/2, 12 steps" in said
    assert "others: left/1, left/0" in said
    with image.open(tmp_path / "left-2.png") as opened:
        assert opened.width == 2080
        assert len(opened.convert("RGB").getcolors(1 << 24)) > 100


def test_an_episode_is_chosen_by_name_or_condition(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert (
        main(["buffer", "show", str(path), "--where", "reward = 103", "--out", str(tmp_path / "a.png"), "--frames", "2"]) == 0
    )
    assert "left/1" in capsys.readouterr().out
    assert main(["buffer", "show", str(path), "--episode", "left/7"]) == 2
    assert "unknown episode 'left/7'; known: left/0, left/1, left/2" in capsys.readouterr().err
    assert main(["buffer", "show", str(path), "--out", "a.bmp"]) == 2
    assert ".png or .pdf" in capsys.readouterr().err
    assert main(["buffer", "show", str(path), "--out", "missing/a.png"]) == 2
    assert "make missing first" in capsys.readouterr().err


def test_without_rerun_the_error_says_how_to_get_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert main(["buffer", "show", str(path), "--rerun"]) == 2
    assert "pip install 'user-gym[rerun]'" in capsys.readouterr().err


def test_the_pictures_shown_are_those_of_their_times() -> None:
    shown = footage(episode(12, chunks=3), 12, 5)
    assert shown.frames.tolist() == [0, 3, 6, 9, 12]
    for frame, seen in zip(shown.frames, shown.pictures["camera"], strict=True):
        np.testing.assert_array_equal(seen, picture(frame))
    np.testing.assert_allclose(shown.time, 0.1 * np.arange(13))
    assert shown.ending == "terminated"
    assert "state" not in shown.pictures


def test_interventions_are_stretches() -> None:
    (chunk,) = episode(6)
    chunk = replace(chunk, is_intervention=np.array([1, 0, 1, 1, 0, 1], bool))
    assert footage([chunk], 6, 1).interventions() == [(0, 1), (2, 4), (5, 6)]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("out", "lines"), [(_Terminal(), 0), (io.StringIO(), 2)])
def test_progress_is_one_line_on_a_terminal_and_few_lines_elsewhere(out: io.StringIO, lines: int) -> None:
    ticks = iter(range(100))
    with Progress("verifying", out=out, clock=lambda: float(next(ticks))) as progress:
        for step in range(1, 25):
            progress(step, 24)
    assert out.getvalue().count("\n") == lines
    assert "verifying" in out.getvalue()
    assert "s left" in out.getvalue()
