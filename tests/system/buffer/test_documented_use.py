"""What docs/buffer.md and the README show of a buffer can be copied: it runs as it stands, and again as after a restart."""

import re
from pathlib import Path
from typing import Any

import pytest

from user_gym.system import Buffer

ROOT = Path(__file__).parents[3]


def shown(heading: str, document: str = "docs/buffer.md") -> str:
    """The first Python block under a heading of a document."""
    section = (ROOT / document).read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]


def test_what_is_shown_of_own_data_and_of_drawing_runs_and_goes_on_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for stored in (100, 200):
        names: dict[str, Any] = {}
        exec(shown("Your own data"), names)
        exec(shown("Drawing"), names)
        assert names["batch"].action.shape == (64, 7)
        assert names["weights"].shape == (64,)
        with Buffer.open("mine", read_only=True) as buffer:
            assert len(buffer) == stored


def test_what_is_shown_of_pruning_keeps_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(shown("Your own data"), {})
    exec(shown("Who leaves"), {})
    with Buffer.open("mine", read_only=True) as buffer:
        assert len(buffer) == 100  # of version 3


def test_what_the_readme_shows_takes_a_chunk_of_the_builder_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(shown("Your own data"), names)
    given = {"chunk": names["chunk"]}  # and nothing else
    exec(shown("Experience", "README.md"), given)
    assert given["batch"].action.shape == (256, 3, 7)
    with Buffer.open("runs/mine/buffer", read_only=True) as buffer:
        assert len(buffer) == len(names["chunk"])
