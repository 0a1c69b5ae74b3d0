"""Blocks whose every number tells its step, and all that a store says."""

from pathlib import Path

import numpy as np

from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.store import Store
from user_gym.testing.storage_suite import steps

STEPS = 4


def block(episode=0, sequence=0, *, follows=False, group="training", n=STEPS, **changes):
    """Its rewards are 1000 episode + 10 sequence + row; so are the first numbers of its observations."""
    began = 1000 * episode + 10 * sequence
    return Encoder(group=group).encode(steps(n, began, episode, sequence, **changes), follows=follows)


def pictured(episode=0, n=STEPS, **changes):
    """With pictures, each 5 KB of noise."""
    noise = np.random.default_rng(episode).integers(0, 256, (n + 1, 40, 42, 3), dtype=np.uint8)
    state = np.arange(n + 1, dtype=np.float32)[:, None]
    return Encoder().encode(steps(n, 1000 * episode, episode, obs={"image": noise, "state": state}, **changes))


def rewards(store: Store) -> list[float]:
    """Of all live steps, in their order; each block is read and verified whole."""
    found, step = store.locate(np.arange(len(store)))
    said, read = [], {}
    for row in range(len(found)):
        entry = found.entry(row)
        if entry.first not in read:
            stored = store.read_block(entry)
            stored.head.items.verify_all(stored.data)
            read[entry.first] = stored.head.light("reward").tolist()
        said.append(read[entry.first][step[row]])
    return said


def meant(*keys: tuple[int, int], n=STEPS) -> list[float]:
    """The rewards of these (episode, sequence)."""
    return [float(1000 * episode + 10 * sequence + row) for episode, sequence in keys for row in range(n)]


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "segments").iterdir())


def flip(path: Path, at: int) -> None:
    """One bit of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 16]))
