"""How far a long command is: one line that is written again on a terminal, and now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

_AGAIN = 0.1  # s between two writings on a terminal
_LINE = 10.0  # s between two lines in a log
_CELLS = 24  # of the bar


class Progress:
    """Called with what is done and what there is in all. Writes to stderr: results go to stdout.

    Args:
        what: is being done: "verifying".
        show: an amount in words, such as bytes.
        out: where to; None: stderr.
        clock: s.
    """

    def __init__(
        self,
        what: str,
        show: Callable[[float], str] = lambda number: f"{number:.0f}",
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._show, self._clock = what, show, clock
        self._out = sys.stderr if out is None else out
        self._terminal = self._out.isatty()
        self._began = self._said = clock()
        self._width = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._width:
            self._out.write(f"\r{' ' * self._width}\r")
            self._out.flush()
        if kind is KeyboardInterrupt:
            self._out.write(f"{self._what}: interrupted; the data is whole, and repeating the command is safe\n")

    def __call__(self, done: float, total: float) -> None:
        """Say so, if it is time to."""
        now = self._clock()
        if now - self._said < (_AGAIN if self._terminal else _LINE):
            return
        self._said = now
        part = done / total if total else 1.0
        words = f"{self._what} {part:4.0%}  {self._show(done)} of {self._show(total)}{self._left(now, part)}"
        if not self._terminal:
            print(words, file=self._out, flush=True)
            return
        full = int(part * _CELLS)
        line = f"{'█' * full}{'░' * (_CELLS - full)}  {words}"
        self._out.write(f"\r{line.ljust(self._width)}")
        self._out.flush()
        self._width = len(line)

    def _left(self, now: float, part: float) -> str:
        if not 0.0 < part < 1.0:
            return ""
        return f", {(now - self._began) * (1.0 - part) / part:.0f} s left"
