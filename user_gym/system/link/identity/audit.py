"""A hub's diary: who was enrolled, let in, turned away, stopped. A line of JSON each, only ever appended."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

NAME = "audit.jsonl"
_log = logging.getLogger(__name__)


class Audit:
    """Thread-safe, and safe with other processes: a line is one write to the end of the file.

    Args:
        path: of the file; None: nothing is kept, as of a hub on loopback without a folder.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def note(self, what: str, who: str, **facts: Any) -> None:
        """Something happened. Where the disk does not take it, the log has it: nobody stays out, or unstopped, for a diary."""
        if self._path is None:
            return
        line = json.dumps({"time": time.time(), "what": what, "who": who, **facts})
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.write(descriptor, f"{line}\n".encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            _log.error("%s is not written (%s); it would say: %s", self._path, error, line)
