"""People watch at the speed of life."""

import shutil
import subprocess
import sys

import pytest

from user_gym.sim.window import Pace


def test_every_episode_is_shown_at_the_speed_of_life() -> None:
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(lambda: now[0], sleep)
    for _ in range(2):
        for twin_time in (0.0, 0.1, 0.2):
            pace.wait(twin_time)
    assert slept == pytest.approx([0, 0.1, 0.1, 0, 0.1, 0.1])


def test_a_slow_machine_is_not_made_slower() -> None:
    now, slept = [0.0], []
    pace = Pace(lambda: now[0], slept.append)
    pace.wait(0.0)
    now[0] = 5.0
    pace.wait(0.1)
    assert slept == [0.0, 0.0]


@pytest.mark.skipif(not shutil.which("xvfb-run"), reason="needs the package xvfb: a window wants a display")
def test_a_window_opens_and_closes_on_a_display() -> None:
    code = (
        "import gymnasium, numpy as np; env = gymnasium.make('user_gym:User/PegInsert-sim-v0', render_mode='human');"
        "env.reset(seed=0); env.step(np.zeros(6, np.float32)); env.close(); print('closed')"
    )
    command = ["xvfb-run", "-a", "-s", "-screen 0 640x480x24", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "closed" in done.stdout
