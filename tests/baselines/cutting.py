"""A run of a baseline that is cut off right after a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from baselines.run_folder import Run


class Cut(Exception):
    """The end of what is done in time."""


@contextmanager
def cut_off(run: Run, after: Callable[[], bool]) -> Iterator[None]:
    """Open the run, and end what is done within by the first checkpoint that is saved when `after` holds."""
    run.open()
    save = run.save

    def saved(*parts: Any) -> None:
        save(*parts)
        if after():
            raise Cut

    run.save = saved  # pyright: ignore[reportAttributeAccessIssue]
    with suppress(Cut), closing(run):
        yield
