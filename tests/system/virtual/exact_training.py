"""One exact training of RLPD's networks on a toy, which may kill itself; says in the end what came out.

python exact_training.py FOLDER SYNCHRONOUS KILL_AT: after so many steps and updates of this process it kills itself, -1: never.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from dataclasses import fields
from pathlib import Path
from threading import Event

import gymnasium
import numpy as np
import torch
from toy_training import Toy

from baselines.config import Config
from baselines.rlpd import Rlpd
from user_gym.system import Buffer, Mixture
from user_gym.system.virtual import Costs, train_exactly

OPTIONS = {"steps": 130, "updates_per_step": 2.0, "learning_starts": 15, "publish_every": 3, "max_seconds": 0.4}
COSTS = Costs(period=0.1, reset_time=0.7, update_time=0.043, weights_time=0.011, delay=0.18)


class Stating(Toy):
    """A Toy with a name for its observation, that tells of each step."""

    observation_space = gymnasium.spaces.Dict({"state": Toy.observation_space})

    def __init__(self, event=lambda: None):
        self.event = event

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        return {"state": obs}, info

    def step(self, action):
        self.event()
        obs, *rest = super().step(action)
        return {"state": obs}, *rest


class Telling(Rlpd):
    """Tells of each update."""

    event = staticmethod(lambda: None)

    def update(self, batch):
        self.event()
        return super().update(batch)


def digest(agent, buffer):
    """Of weights, optimisers and random numbers; of all rows; counters."""
    made = hashlib.sha256()
    for name in ("actor", "critic", "target", "log_alpha"):
        made.update(getattr(agent, name).detach().numpy().tobytes())
    for optimiser in (agent._critic_optimiser, agent._actor_optimiser):
        for state in optimiser.state_dict()["state"].values():
            made.update(b"".join(state[name].numpy().tobytes() for name in sorted(state)))
    made.update(agent._generator.get_state().numpy().tobytes())
    rows = hashlib.sha256()
    number = 0
    while number < len(buffer):
        chunk = buffer.chunk(number)
        for field in fields(chunk):
            value = getattr(chunk, field.name)
            rows.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
        number += len(chunk)
    return [made.hexdigest(), rows.hexdigest(), agent.updates, len(buffer)]


def train(folder: Path, synchronous: bool, event=lambda: None, stop=None, options=OPTIONS):
    """One training, or the rest of it; the digests, or None where it was stopped."""
    torch.set_num_threads(1)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    env = Stating(event)
    agent = Telling(env.observation_space, env.action_space, Config(hidden=16, steps=130, updates_per_step=2.0, demos=0))
    agent.event = event
    stop = stop or Event()
    with Buffer.open(folder / "buffer", durability="kill") as buffer:
        result = train_exactly(
            folder / "checkpoints", env, agent, buffer, costs=COSTS, synchronous=synchronous, tolerance=60.0, seed=3, stop=stop,
            sampler=lambda storage: Mixture([(storage.view("episode < 2"), 0.25), (storage, 0.75)], 32), **options,
        )  # fmt: skip
        return None if result.interrupted else digest(agent, buffer)


if __name__ == "__main__":
    left = int(sys.argv[3])

    def event() -> None:
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.stdout.write(json.dumps(train(Path(sys.argv[1]), sys.argv[2] == "sync", event)))
