"""The table of environment ids. docs/ids.md says what each version means."""

from __future__ import annotations

from typing import Any

import gymnasium

ANY_ROBOT = {"real": {"robot": "any"}}  # backends that choose among the robots there are
# id -> (task, backend, steps of an episode, whether equal seeds may differ)
IDS: dict[str, tuple[str, str, int, bool]] = {
    "User/PegInsert-sim-v0": ("PegInsert", "sim", 100, False),
    "User/PegInsert-maniskill-v0": ("PegInsert", "maniskill", 100, False),
    "User/PegInsert-real-v0": ("PegInsert", "real", 100, True),
    "User/Charger-sim-v0": ("Charger", "sim", 100, False),
    "User/Charger-maniskill-v0": ("Charger", "maniskill", 100, False),
    "User/Charger-real-v0": ("Charger", "real", 100, True),
    "User/CapTighten-sim-v0": ("CapTighten", "sim", 100, False),
    "User/CapTighten-maniskill-v0": ("CapTighten", "maniskill", 100, False),
    "User/CapTighten-real-v0": ("CapTighten", "real", 100, True),
    "User/PickPlace-sim-v0": ("PickPlace", "sim", 150, False),
    "User/PickPlace-maniskill-v0": ("PickPlace", "maniskill", 150, False),
    "User/PickPlace-real-v0": ("PickPlace", "real", 150, True),
    "User/TableCleanup-sim-v0": ("TableCleanup", "sim", 400, False),
    "User/TableCleanup-maniskill-v0": ("TableCleanup", "maniskill", 400, False),
    "User/TableCleanup-real-v0": ("TableCleanup", "real", 400, True),
}
# Each task's real environment, or its twin, run by an edge and stepped from elsewhere.
IDS |= {f"User/{task}-remote-v0": (task, "remote", steps, True) for task, on, steps, _ in IDS.values() if on == "real"}
REMOTE = "User/Remote-v0"  # whatever else an edge serves
_ENTRY_POINTS = ("user_gym.env:make", "user_gym.vector:make")
_REMOTE_ENTRY_POINTS = ("user_gym.system.link.remote.env:make", "user_gym.vector.remote:make")


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
        if backend == "remote":
            _register(name, _REMOTE_ENTRY_POINTS, steps, nondeterministic, backend, _mirrored(task))
        else:
            options = {"task": task, "backend": backend, **ANY_ROBOT.get(backend, {})}
            _register(name, _ENTRY_POINTS, steps, nondeterministic, backend, options)
    _register(REMOTE, _REMOTE_ENTRY_POINTS, None, True, "remote", {})


def _mirrored(task: str) -> dict[str, Any]:
    """What of an edge will do for a task, real robots first; and what has the same spaces here."""
    own = {backend: name for name, (other, backend, _, _) in IDS.items() if other == task}
    return {"env_id": [own[backend] for backend in ("real", "sim") if backend in own], "like": own["sim"]}


def _register(
    name: str, entry_points: tuple[str, str], steps: int | None, nondeterministic: bool, backend: str, options: dict[str, Any]
) -> None:
    if name not in gymnasium.registry:
        gymnasium.register(
            id=name,
            entry_point=entry_points[0],
            vector_entry_point=entry_points[1],
            max_episode_steps=steps,
            nondeterministic=nondeterministic,
            # Where a robot's first reset or step raises, Gymnasium's passive checker breaks every step after it.
            disable_env_checker=backend != "sim",
            kwargs=Options(options),
        )
