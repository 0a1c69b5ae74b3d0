"""Runs that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_process import EdgeProcess
from running import Run


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Make a run; all of them end with the test."""
    made: list[Run] = []

    def make(**changes: Any) -> Run:
        path = tmp_path / str(len(made))
        path.mkdir()
        made.append(Run(path, **changes))
        return made[-1]

    yield make
    for run in made:
        run.close()


@pytest.fixture
def edges() -> Iterator[Callable[..., EdgeProcess]]:
    """Start edges; all of them end with the test."""
    made: list[EdgeProcess] = []

    def start(run: Run, name: str, **changes: Any) -> EdgeProcess:
        made.append(EdgeProcess(run, name, **changes))
        return made[-1]

    yield start
    for edge in made:
        edge.kill()
