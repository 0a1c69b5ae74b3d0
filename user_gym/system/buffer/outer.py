"""A path that names no buffer does not become one: a file, the folder of a run in place of the buffer in it, no path at all.

It opens no file.
"""

from __future__ import annotations

from pathlib import Path

from user_gym.errors import BadOption, Unwritable, WrongRun
from user_gym.system.buffer import connection
from user_gym.system.buffer.files import FOLDER

_NAMED = 3  # buffers that an error names


def folder(path: str | Path) -> Path:
    """The path of a buffer that is there, or of one to be made.

    Raises:
        BadOption: it is empty.
        WrongRun: a file is there.
        Unwritable: it may not be entered.
    """
    if path == "":
        raise BadOption("path of a buffer", path, "a folder", "'.' is the one that this process is in")
    named = Path(path)
    try:
        (named / connection.NAME).exists()
        is_file = named.exists() and not named.is_dir()
    except PermissionError as error:
        raise Unwritable(f"buffer {named} may not be read: {error}; give this user the right to") from error
    if is_file:
        raise WrongRun(f"{named} holds no buffer: it is a file; take a folder")
    return named


def refuse(folder: Path) -> None:
    """Raises WrongRun where a folder is no buffer and holds some: nobody wants a new one around them."""
    if (folder / connection.NAME).exists() or (folder / FOLDER).exists():
        return
    inside = sorted(path.parent for path in folder.glob(f"*/{connection.NAME}"))
    if inside:
        raise WrongRun(f"{folder} holds no buffer, but a folder of one; take {' or '.join(map(str, inside[:_NAMED]))}")
