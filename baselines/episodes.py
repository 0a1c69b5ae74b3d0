"""Episodes of a baseline: the environment, the expert's demonstrations, and evaluation. No learning here."""

from __future__ import annotations

from typing import Any

import gymnasium

from baselines.config import Config
from user_gym.core import Policy, Storage
from user_gym.system import ChunkBuilder
from user_gym.tasks.expert import PegInsertExpert

EVALUATION_SEED = 1_000_000  # of the first evaluation episode, then one up each; the same for all runs
DEMO_SEED = 2_000_000


def make(config: Config, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """The environment that a configuration names."""
    options = {"robot": config.robot, "obs": config.obs, "control": config.control, "hole_offset": config.hole_offset}
    return gymnasium.make(config.env_id, render_mode=render_mode, **options)


def demonstrate(env: gymnasium.Env[Any, Any], storage: Storage, config: Config) -> None:
    """Store `config.demos` successful episodes of the scripted expert."""
    expert = PegInsertExpert(env.unwrapped.task, config.demo_noise, config.seed)  # pyright: ignore[reportAttributeAccessIssue]
    builder = ChunkBuilder("expert", config.robot, config.env_id, kind="demo", max_seconds=1e6)
    kept = episode = 0
    while kept < config.demos:
        obs, _ = env.reset(seed=DEMO_SEED + config.seed if episode == 0 else None)
        expert.reset()
        builder.start(obs, episode)
        chunk = None
        while chunk is None:
            action = expert.action(env.unwrapped.state)  # pyright: ignore[reportAttributeAccessIssue]
            obs, reward, terminated, truncated, info = env.step(action)
            chunk = builder.add(action, float(reward), terminated, truncated, info, obs, -1)
        episode += 1
        if chunk.success.any():
            storage.append(chunk)
            kept += 1


def evaluate(
    env: gymnasium.Env[Any, Any], policy: Policy, episodes: int, frames: list[Any] | None = None
) -> tuple[float, float]:
    """Success rate and mean length of deterministic episodes with fixed seeds; pictures go to `frames`."""
    successes = steps = 0
    for episode in range(episodes):
        obs, info = env.reset(seed=EVALUATION_SEED + episode)
        policy.reset()
        over = False
        while not over:
            obs, _, terminated, truncated, info = env.step(policy.act(obs, deterministic=True).actions[0])
            over, steps = terminated or truncated, steps + 1
            if frames is not None:
                frames.append(env.render())
        successes += info["is_success"]
    return successes / episodes, steps / episodes
