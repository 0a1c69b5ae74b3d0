"""Many arms at one task as one gymnasium VectorEnv: moved together by one backend, or each on a clock of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from user_gym.robots import registry
from user_gym.vector.batch import RobotVectorEnv
from user_gym.vector.independent import IndependentVectorEnv
from user_gym.vector.places import places

__all__ = ["IndependentVectorEnv", "RobotVectorEnv", "make"]


def make(
    num_envs: int = 1,
    backend: str = "sim",
    robot: str = "franka-fr3",
    robots: Sequence[str | Mapping[str, Any]] | None = None,
    independent: bool | None = None,
    **options: Any,
) -> RobotVectorEnv | IndependentVectorEnv:
    """Entry point of the ids for gymnasium.make_vec.

    Args:
        num_envs: number of arms.
        backend: as RobotEnv, like `robot`.
        robot: see `backend`.
        robots: which ones, see `places`; None: each arm takes what the options say.
        independent: each arm on a thread of its own, with `send` and `recv`; None: only where the backend has no batch.
        **options: of RobotVectorEnv or IndependentVectorEnv.
    """
    rows = None if robots is None else places(robots, num_envs)
    if independent is None:
        independent = rows is not None or backend not in registry.backends(robot, batch=True)
    if not independent and rows is None:
        return RobotVectorEnv(num_envs, backend=backend, robot=robot, **options)
    return IndependentVectorEnv(num_envs, backend=backend, robot=robot, rows=rows, **options)
