"""A machine of its own for each test: no devices, no leases, no approvals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served import Served

from user_gym.robots.probes import gpu, human, video


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that everything of the user's is in; `inventory.toml` in it is the inventory."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("USER_GYM_INVENTORY", str(tmp_path / "inventory.toml"))
    monkeypatch.setenv("COLUMNS", "120")
    for module, names in ((video, ("_VIDEO", "_USB")), (human, ("_RAW", "_INPUT"))):
        for name in names:
            monkeypatch.setattr(module, name, tmp_path / "none")
    monkeypatch.setattr(gpu, "_LIBRARY", "libno-such-driver.so")
    (tmp_path / "inventory.toml").write_text("")
    return tmp_path


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    """Start a twin with these arguments; it is ready when this returns, and ends with the test."""
    twins: list[Served] = []

    def run(*arguments: str) -> Served:
        twins.append(Served(*arguments))
        return twins[-1]

    yield run
    for twin in twins:
        twin.close()
