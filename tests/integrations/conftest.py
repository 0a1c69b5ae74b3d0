"""What holds for tests of other people's libraries."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _logs_of_sb3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SB3 logs when it is not told: else a folder for each agent that learned stays in the system's temporary one."""
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path / "sb3"))
