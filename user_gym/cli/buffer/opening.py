"""What a command is given is a buffer, selects a step, may be written; or the error says what would do. It opens no file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from user_gym.errors import BadOption, Unwritable, WrongRun

WHERE = (
    "a condition over steps and their chunks, such as \"robot = 'franka-fr3' AND success\" or "
    '"is_intervention AND policy_version > 100"; an unknown column is answered with a list of all'
)


def add_path(parser: Any, name: str = "path", words: str = "folder of the buffer") -> None:
    """Declare the argument that names a buffer."""
    parser.add_argument(name, metavar=name.upper(), type=Path, help=words)


def existing(path: Path) -> Path:
    """The path of a buffer that is there: nothing is made in its place. Raises BadOption, WrongRun, Unwritable."""
    from user_gym.system.buffer import outer

    path = outer.folder(path)
    if (path / "index.sqlite").exists() or (path / "segments").is_dir():
        return path
    if not path.exists():
        raise BadOption("path", str(path), "a folder that is there", "a run keeps its buffer in runs/NAME/buffer")
    inside = path / "buffer"
    cure = f"take {inside}" if (inside / "index.sqlite").exists() else "take a folder with index.sqlite and segments/"
    raise WrongRun(f"{path} holds no buffer; {cure}")


def writable(out: Path, cure: str) -> None:
    """Raises Unwritable, before the work and not after it, where a file or folder may not be written, or not be made."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.exists(path))
    right = os.W_OK | os.X_OK if there.is_dir() else os.W_OK
    if (there.is_dir() or there == out.absolute()) and not os.access(there, right, effective_ids=True):
        raise Unwritable(f"{out} cannot be written: {there} gives this user no right to; {cure}")


def nothing(where: str) -> BadOption:
    """What is said of a condition that selects no step."""
    return BadOption("--where", where, "a condition that some step satisfies", "`user-gym buffer info` says what there is")


def size(nbytes: float) -> str:
    """Bytes for a person: "3.2 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "bytes" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"
