"""Two FCI twins behind unmodified clients in one vector environment: what happens to one does not happen to the other."""

import itertools
import os
from collections.abc import Iterator
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.robots.side import Side
from user_gym.testing.compare import assert_same

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("franky") is None, reason="franky-control is not installed here"),
]
REAL = "User/PegInsert-real-v0"
DOWN = np.array([[0.1, 0, -0.5, 0, 0, 0.2], [0, 0.1, -0.5, 0, 0, 0]], np.float32)
_counter = itertools.count(1)


def loopback() -> str:
    pid, n = os.getpid(), next(_counter)
    return f"127.{100 + pid % 50}.{pid // 50 % 250 + 1}.{n % 250 + 1}"


@pytest.fixture
def twin(tmp_path, monkeypatch):
    """Starts one, in a process of its own as a robot is one, and says how it is reached."""
    from user_gym.sim.twin_process import TwinProcess

    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    started = []

    def start() -> dict:
        process = TwinProcess("user_gym.sim.fci.twin:FciTwin", "franka-fr3", {"address": (address := loopback())})
        started.append(process)
        process.open()
        return {"address": address, "twin": process.side}

    yield start
    for process in started:
        process.close()


def vector(*rows, **options):
    return gym.make_vec(REAL, len(rows), vector_kwargs={"robots": list(rows)}, **options)


def test_a_reflex_of_one_truncates_its_own_row_and_the_other_does_as_if_alone(twin) -> None:
    left, right = twin(), twin()
    env = vector(left, right, retry=0.0)
    env.reset(seed=[3, 5])
    steps = []
    for k in range(8):
        if k == 2:
            door = Side(left["twin"])
            door.connect()
            door.ask("fault", name="reflex", reason="cartesian_reflex")
            door.close()
        steps.append(env.step(DOWN))
    env.close()
    first, second = zip(*(step[3].tolist() for step in steps), strict=True)
    assert not any(second)
    assert first[:3] == (False, False, True)
    assert first[-1] is False  # it recovered
    assert "cartesian_reflex" in steps[2][4]["fault"][0]
    assert [round(step[4]["time"][0], 6) for step in steps[:3]] == [0.1, 0.2, 0.2]
    alone = vector(twin())
    alone.reset(seed=[5])
    for k, step in enumerate(steps):
        assert_same({key: value[1:] for key, value in step[0].items()}, alone.step(DOWN[1:])[0], f"step {k}")
    alone.close()


def steps_in_lockstep(env) -> Iterator:
    while True:
        yield range(2), env.step(DOWN)


def steps_of_each(env) -> Iterator:
    env.send(DOWN)
    while True:
        *step, ids = env.recv()
        yield ids, step
        env.send(DOWN[ids], ids)


def test_without_lockstep_each_row_is_what_it_is_in_lockstep(twin) -> None:
    heard = []
    for steps in (steps_in_lockstep, steps_of_each):
        env = vector(twin(), twin(), max_episode_steps=3).unwrapped
        env.reset(seed=0)
        rows = [[], []]
        for ids, step in steps(env):
            for k, i in enumerate(ids):
                rows[i].append((step[0]["state"][k], *(part[k] for part in step[1:4])))
            if min(map(len, rows)) >= 6:
                break
        env.close()
        heard.append([row[:6] for row in rows])
    assert_same(*heard)
