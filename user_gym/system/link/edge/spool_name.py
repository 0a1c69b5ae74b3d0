"""A name that tells a spool from every other one: two machines may come to a hub as one edge, and count episodes alike."""

from __future__ import annotations

import secrets
from pathlib import Path

from user_gym.system.atomic_file import write_aside

_NAME = "name"


def drawn_once(folder: Path, durable: bool) -> str:
    """32 hexadecimal digits, the same whenever this folder is asked for them. Raises NoSpace, Unwritable."""
    path = folder / _NAME
    if not path.exists():
        write_aside(path, lambda aside: aside.write_text(secrets.token_hex(16)), durable)
    return path.read_text()
