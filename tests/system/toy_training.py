"""A five-line environment and a numpy agent: enough to see learning, nothing more."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import gymnasium
import numpy as np

from user_gym.core import ActionChunk, Chunk
from user_gym.errors import BadOption


class Toy(gymnasium.Env):
    """Reward -(action - 0.5)^2; ten steps an episode; the last one tells success."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n, self.x = 0, self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.x.copy(), {}

    def step(self, action):
        self.n += 1
        self.x = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        error = abs(float(action[0]) - 0.5)
        return self.x.copy(), -(error**2), False, self.n == 10, {"is_success": self.n == 10 and error < 0.2}


class ToyPolicy:
    """A mean that is learned, and noise around it."""

    spec_hash = "toy"

    def __init__(self, horizon=1):
        self.version, self.mean, self.horizon = -1, np.zeros(1, np.float32), horizon
        self.rng = np.random.default_rng(7)

    def reset(self, seed=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)

    def act(self, obs, deterministic=False):
        noise = 0 if deterministic else self.rng.normal(0, 0.1, (self.horizon, 1))
        return ActionChunk(np.clip(self.mean + noise, -1, 1).astype(np.float32), self.version)

    def load(self, weights):
        if weights.spec_hash != self.spec_hash:
            raise BadOption("spec_hash", weights.spec_hash, self.spec_hash)
        self.mean, self.version = weights.arrays["mean"].copy(), weights.version


class ToyAgent:
    """Moves the mean towards the better actions of a batch."""

    def __init__(self, rate=0.05, horizon=1):
        self.policy, self.mean, self.rate = ToyPolicy(horizon), np.zeros(1, np.float32), rate

    def update(self, batch):
        best = batch.action[np.argmax(batch.reward)]
        self.mean += self.rate * (best - self.mean)
        return {"mean": float(self.mean[0])}

    def weights(self):
        return {"mean": self.mean}

    def save(self, path: Path):
        path.write_text(json.dumps(self.mean.tolist()))

    def restore(self, path: Path):
        self.mean = np.array(json.loads(path.read_text()), np.float32)


def chunk(steps=3, **changes) -> Chunk:
    """A sound chunk; `changes` replace fields."""
    base = copy.copy(changes.pop("base", 0))
    fields = {
        "source": "a",
        "episode": 0,
        "sequence": 0,
        "robot": "franka-fr3",
        "task": "peg",
        "kind": "policy",
        "obs": {"state": np.arange(base, base + steps + 1, dtype=np.float32)[:, None] * np.ones(2, np.float32)},
        "action": np.arange(base, base + steps, dtype=np.float32)[:, None],
        "ordered": np.arange(base, base + steps, dtype=np.float32)[:, None] + np.float32(0.5),
        "reward": np.arange(base, base + steps, dtype=np.float32),
        "terminated": np.zeros(steps, bool),
        "truncated": np.zeros(steps, bool),
        "success": np.zeros(steps, bool),
        "policy_version": np.zeros(steps, np.int64),
        "is_intervention": np.zeros(steps, bool),
        "reward_source": ("rule",) * steps,
        "time": np.arange(1, steps + 1) * 0.1,
        "wall_time": 0.0,
    }
    return Chunk(**{**fields, **changes})
