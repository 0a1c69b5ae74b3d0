"""A short run of `baselines.rlpd` that kills itself, to be run as a program; what is acknowledged goes into a file.

python killed_training.py RUN_FOLDER FILE SECONDS    # from when the buffer is open to the kill; inf: none
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import zlib
from dataclasses import replace
from pathlib import Path

from baselines import experience, online, rlpd
from baselines.config import Config
from user_gym.core import Acknowledgement, Chunk
from user_gym.system import Buffer

CONFIG = Config(
    steps=200,
    learning_starts=20,
    updates_per_step=2,
    demos=3,
    eval_every=50,
    eval_episodes=1,
    batch_size=8,
    hidden=8,
    film=False,
)


def line(chunk: Chunk) -> str:
    """What a chunk is and holds."""
    columns = (*chunk.obs.values(), chunk.action, chunk.ordered, chunk.reward, chunk.terminated, chunk.policy_version)
    held = zlib.crc32(b"".join(column.tobytes() for column in columns))
    return f"{chunk.source} {chunk.episode} {chunk.sequence} {len(chunk)} {held:08x}"


def main(folder: Path, file: Path, seconds: float) -> None:
    told = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    append, open_buffer = Buffer.append, experience.open_buffer

    def telling(self: Buffer, chunk: Chunk) -> Acknowledgement:
        answer = append(self, chunk)
        assert not answer.repeated
        os.write(told, (line(chunk) + "\n").encode())
        return answer

    def opening(path: Path) -> Buffer:
        buffer = open_buffer(path)
        if seconds < math.inf:
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return buffer

    Buffer.append, experience.open_buffer, online.GLANCE = telling, opening, 1
    rlpd.main(replace(CONFIG, run_dir=folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
