"""The folder that a command is given is a buffer, or the error says what it is. It opens no file for writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from user_gym.errors import BadOption, WrongRun

WHERE = (
    "a condition over steps and their chunks, such as \"robot = 'franka-fr3' AND success\" or "
    '"is_intervention AND policy_version > 100"; an unknown column is answered with a list of all'
)


def add_path(parser: Any, name: str = "path", words: str = "folder of the buffer") -> None:
    """Declare the argument that names a buffer."""
    parser.add_argument(name, metavar=name.upper(), type=Path, help=words)


def existing(path: Path) -> Path:
    """The path of a buffer that is there: nothing is made in its place. Raises BadOption, WrongRun."""
    if (path / "index.sqlite").exists() or (path / "segments").is_dir():
        return path
    if not path.exists():
        raise BadOption("path", str(path), "a folder that is there", "a run keeps its buffer in runs/NAME/buffer")
    inside = path / "buffer"
    cure = f"take {inside}" if (inside / "index.sqlite").exists() else "take a folder with index.sqlite and segments/"
    raise WrongRun(f"{path} holds no buffer; {cure}")


def size(nbytes: float) -> str:
    """Bytes for a person: "3.2 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "bytes" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} TB"
