"""One rank of broadcasts over gloo, in a process of its own: `python broadcast_rank.py RANK RANKS STORE OUT SCENE ...`.

Plays the scenes one after another, each with a copier of its own, and writes what it saw to OUT as JSON.
"""

import json
import os
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from user_gym.errors import UserGymError
from user_gym.system.cap.broadcast import GlooCopier

SIZE = 1_000_003
PATIENCE = 3.0  # s that the ranks of `held` wait for each other
LEVELS = (4_000_000, 16_000_000, 1_000_000_000)


def arenas(rank, size=SIZE):
    values = torch.from_numpy(np.random.default_rng(5).integers(0, 256, size, np.uint8))
    return (values, None) if rank == 0 else (None, torch.zeros(size, dtype=torch.uint8))


def arrives(rank, copier):
    seen = []
    for limit in LEVELS:
        if rank == 0:
            copier.limit = limit
        source, target = arenas(rank)
        copied = copier.copy(source, target)
        right = True if target is None else torch.equal(target, arenas(0)[0])
        seen.append([right, copied.bytes, copied.lowest, copied.highest, copied.multiprocessors, copied.elapsed])
    return seen


def held(rank, copier):
    """For longer than the ranks wait for each other."""
    if rank == 0:
        copier.limit = 0
        threading.Timer(1.4 * PATIENCE, lambda: setattr(copier, "limit", LEVELS[2])).start()
    source, target = arenas(rank)
    copied = copier.copy(source, target)
    return [copied.bytes, copied.held, True if target is None else torch.equal(target, arenas(0)[0])]


def sizes(rank, copier):
    return copier.copy(*arenas(rank, SIZE + rank)).bytes


def ends(rank, copier):
    """All swap their ends, then say both, then do it right."""
    both, refused = torch.zeros(SIZE, dtype=torch.uint8), []
    for wrong in (tuple(reversed(arenas(rank))), (both, both)):
        try:
            copier.copy(*wrong)
        except UserGymError as error:
            refused.append(type(error).__name__)
    return [refused, copier.copy(*arenas(rank)).bytes]


def closed(rank, copier):
    """The root is closed while it is held."""
    if rank == 0:
        copier.limit = 0
        threading.Timer(0.3, copier.close).start()
    return copier.copy(*arenas(rank)).bytes


def leaves(rank, copier):
    """Every receiver is closed while the root is held."""
    if rank == 0:
        copier.limit = 0
        threading.Timer(0.6, lambda: setattr(copier, "limit", LEVELS[2])).start()
    else:
        threading.Timer(0.2, copier.close).start()
    source, target = arenas(rank)
    return [copier.copy(source, target).bytes, True if target is None else torch.equal(target, arenas(0)[0])]


def killed(rank, copier):
    """The root goes in the middle."""
    if rank == 0:
        copier.limit = LEVELS[0]
        sent = copier._spread

        def spread(piece, limit):
            sent(piece, limit)
            if copier.copied > SIZE // 2:
                os._exit(0)

        copier._spread = spread
    return copier.copy(*arenas(rank)).bytes


def play(scene, rank):
    began = time.monotonic()
    try:
        with GlooCopier(LEVELS, timeout=PATIENCE if scene is held else 30.0) as copier:
            copier.open()
            found = {"seen": scene(rank, copier)}
    except UserGymError as error:
        found = {"error": type(error).__name__, "message": str(error)}
    return found | {"elapsed": time.monotonic() - began}


def main(rank, ranks, store, out, *scenes):
    store, wait = distributed.FileStore(store, ranks), timedelta(seconds=60)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=ranks, timeout=wait)
    found = {scene: play(globals()[scene], rank) for scene in scenes}
    Path(out).write_text(json.dumps(found))
    if "killed" not in scenes:  # with a dead rank there is no common end
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
