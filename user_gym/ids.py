"""The table of environment ids. docs/ids.md says what each version means."""

from __future__ import annotations

from typing import Any

import gymnasium

ANY_ROBOT = {"real": {"robot": "any"}}  # backends that choose among the robots there are
# id -> (task, backend, steps of an episode, whether equal seeds may differ)
IDS: dict[str, tuple[str, str, int, bool]] = {
    "User/PegInsert-sim-v0": ("PegInsert", "sim", 100, False),
    "User/PegInsert-real-v0": ("PegInsert", "real", 100, True),
}


class Options(dict[str, Any]):
    """Options of an id, among which are the `vector_kwargs` that make_vec is given for it.

    Gymnasium has no other use for them than to refuse them where an id brings a vector environment of its own. Those that are
    meant for its "sync" and "async" vectorisers stay what they are.
    """

    _ours = True

    def pop(self, key: str, *default: Any) -> Any:
        """As dict; make_vec takes its own arguments out this way, the mode before the vector_kwargs."""
        value = super().pop(key, *default)
        if key == "vectorization_mode":
            self._ours = getattr(value, "value", value) in (None, "vector_entry_point")
        if key == "vector_kwargs" and self._ours and value:
            self.update(value)
            return {}
        return value


def register() -> None:
    """Tell Gymnasium; again is no harm."""
    for name, (task, backend, steps, nondeterministic) in IDS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="user_gym.env:make",
                vector_entry_point="user_gym.vector:make",
                max_episode_steps=steps,
                nondeterministic=nondeterministic,
                # Where a robot's first reset or step raises, Gymnasium's passive checker breaks every step after it.
                disable_env_checker=backend == "real",
                kwargs=Options(task=task, backend=backend, **ANY_ROBOT.get(backend, {})),
            )
