"""What a process of a run has to tell a person: lines in its log. A full disk never ends a process that wanted to say so."""

from __future__ import annotations

import contextlib
import os
import sys
import time


def say(words: str) -> None:
    """Write a line with the time."""
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {os.getpid()} {words}\n"
    with contextlib.suppress(OSError):  # the log may lie on the disk that is full
        sys.stderr.write(line)
        sys.stderr.flush()
