"""The table of environment ids. docs/ids.md says what each version means."""

from __future__ import annotations

import gymnasium

# id -> (task, backend, steps of an episode, whether equal seeds may differ)
IDS: dict[str, tuple[str, str, int, bool]] = {
    "User/PegInsert-sim-v0": ("PegInsert", "sim", 100, False),
}


def register() -> None:
    """Tell Gymnasium; again is no harm."""
    for name, (task, backend, steps, nondeterministic) in IDS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="user_gym.env:make",
                vector_entry_point="user_gym.vector:RobotVectorEnv",
                max_episode_steps=steps,
                nondeterministic=nondeterministic,
                kwargs={"task": task, "backend": backend},
            )
