"""Labels follow the chunks that were copied into another buffer. It copies no chunk."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from user_gym.system.buffer import connection
from user_gym.system.buffer.labels import Labelled, Labels
from user_gym.system.buffer.query import Query

_Chunk = tuple[str, int, int, int, int]
_CHUNKS = "SELECT name, episode, sequence, first, steps FROM blocks JOIN sources ON sources.id = blocks.source ORDER BY first"


def copy_labels(origin: Path, target: Path, name: str = "") -> int:
    """Write the newest labels of chunks that both buffers have to where the target has none yet.

    Args:
        origin: folder of a buffer.
        target: folder of another.
        name: that `copying.copy` put before the sources.

    Returns:
        How many chunks got labels.
    """
    with ExitStack() as stack:
        queries = [Query(connection.connect_reader(folder)) for folder in (origin, target)]
        for query in queries:
            stack.callback(query.close)
        here, there = queries
        given = Labels.open(origin, here.place, read_only=True)
        stack.callback(given.close)
        if not given.names:
            return 0
        taken = Labels.open(target, there.place)
        stack.callback(taken.close)
        database = connection.connect_reader(origin)
        stack.callback(database.close)
        chunks = database.execute(_CHUNKS).fetchall()
        return sum(_copy(given, taken, there, label, name, chunks) for label in given.names)


def _copy(given: Labels, taken: Labels, there: Query, label: str, name: str, chunks: list[_Chunk]) -> int:
    made, begun = list[Labelled](), label in taken.names
    for source, episode, sequence, first, steps in chunks:
        values = given.at(label, np.arange(first, first + steps))
        source = f"{name}/{source}" if name else source
        place = there.place(source, episode, sequence) if np.isfinite(values).any() else None
        if place is None or place[1] != steps:
            continue
        new = np.isfinite(values)
        if begun:
            new &= np.isnan(taken.at(label, np.arange(place[0], place[0] + steps)))
        if new.any():
            made.append(Labelled(source, episode, sequence, np.where(new, values, np.float32(0.0)), new))
    if made:
        taken.write(label, "; ".join(sorted({version.source for version in given.versions(label)})), made)
    return len(made)
