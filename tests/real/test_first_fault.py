"""A real id whose first reset fails, through gymnasium.make: the next one goes on as if nothing had been."""

import gymnasium
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.errors import RobotFault


def test_after_a_first_reset_that_failed_the_environment_works(tmp_path, monkeypatch) -> None:
    for name in ("STOPS", "LEASES"):
        monkeypatch.setenv(f"USER_GYM_{name}", str(tmp_path / name))
    options = {"diary": str(tmp_path / "diary"), "broken": "before", "hurried": True}
    env = gymnasium.make(
        "User/PegInsert-real-v0",
        robot="franka-fr3",
        address="toy:first",
        driver="toy:ToyDriver",
        driver_options=options,
        approve=True,
    )
    robot = env.unwrapped.robot
    reset, tries = robot.reset, []

    def once_in_vain(start):
        tries.append(start)
        if len(tries) == 1:
            raise RobotFault("not yet")
        return reset(start)

    robot.reset = once_in_vain
    with pytest.raises(RobotFault, match="not yet"):
        env.reset(seed=0)
    env.reset()
    env.step(np.zeros(6, np.float32))
    env.close()
