"""One exact training of RLPD on the simulated twin, from demonstrations, which may kill itself; says in the end what came out.

python exact_twin.py FOLDER SYNCHRONOUS KILL_AT: after so many steps and updates of this process it kills itself, -1: never.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import zlib
from contextlib import closing
from pathlib import Path
from threading import Event

import gymnasium
import torch
from exact_training import Telling, digest

from baselines.config import Config
from baselines.episodes import demonstrate, make
from baselines.experience import mixture
from user_gym.system import Buffer
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.virtual import Costs, train_exactly

STEPS = 240
CONFIG = Config(steps=STEPS, demos=2, hidden=16, batch_size=32, learning_starts=60, updates_per_step=0.94)
COSTS = Costs(period=0.1, reset_time=3.11, update_time=0.1388, weights_time=0.011, delay=0.7)  # CNN + SAC's, as published


class TellingTwin(gymnasium.Wrapper):
    """Tells of each step."""

    def __init__(self, env, event):
        super().__init__(env)
        self.event = event

    def step(self, action):
        self.event()
        return super().step(action)


def prepare(folder: Path) -> None:
    """Store the demonstrations: part of what a run begins with, and dated by the wall's clock."""
    folder.mkdir()
    with closing(make(CONFIG)) as env, Buffer.open(folder / "buffer", durability="kill") as buffer:
        demonstrate(env, buffer, CONFIG)


def train(folder: Path, synchronous: bool, event=lambda: None, stop=None):
    """One training in a prepared folder, or the rest of it; digests, None where it was stopped. All is made anew each time."""
    torch.set_num_threads(1)
    (folder / "checkpoints").mkdir(exist_ok=True)
    stop = stop or Event()
    with closing(make(CONFIG)) as env, Buffer.open(folder / "buffer", durability="kill") as buffer:
        agent = Telling(env.observation_space, env.action_space, CONFIG)
        agent.event = event
        result = train_exactly(
            folder / "checkpoints", TellingTwin(env, event), agent, buffer, costs=COSTS, seed=3, stop=stop,
            steps=STEPS, synchronous=synchronous, tolerance=60.0, updates_per_step=CONFIG.updates_per_step,
            learning_starts=CONFIG.learning_starts, publish_every=8, sampler=lambda storage: mixture(storage, None, CONFIG),
            robot=CONFIG.robot, task="PegInsert", max_seconds=1.0,
        )  # fmt: skip
        return None if result.interrupted else digest(agent, buffer)


def rows(folder: Path) -> dict[tuple[str, int, int], int]:
    """CRC of each chunk that a buffer holds, by its key. A key that is there twice fails."""
    found: dict[tuple[str, int, int], int] = {}
    with Buffer.open(folder / "buffer", read_only=True) as buffer:
        number = 0
        while number < len(buffer):
            chunk = buffer.chunk(number)
            key = (chunk.source, chunk.episode, chunk.sequence)
            assert key not in found, key
            found[key] = zlib.crc32(Encoder().encode(chunk, False).data)
            number += len(chunk)
    return found


if __name__ == "__main__":
    left = int(sys.argv[3])

    def tell() -> None:
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.stdout.write(json.dumps(train(Path(sys.argv[1]), sys.argv[2] == "sync", tell)))
