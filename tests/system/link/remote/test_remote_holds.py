"""When a robot that is stepped from afar holds, and when it does not: long work, clients that leave, programs with bugs."""

from __future__ import annotations

import time
from contextlib import nullcontext

import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from remote_parts import TOY, fleet, wait
from remote_toys import BROKEN, HELD, RemoteToy

from user_gym.errors import RobotFault, Stopped
from user_gym.system.link.remote.asks import Ask
from user_gym.system.link.remote.seat import Order
from user_gym.system.link.remote.served import Served

STILL = np.zeros(2, np.float32)
WATCHDOG = 0.3  # s
LONG = 1.5 * WATCHDOG


class Slow(RemoteToy):
    """Each reset takes longer than the watchdog; steps take a tenth of it."""

    def __init__(self, taken, **options):
        super().__init__(**options)
        self._taken = taken

    def reset(self, **options):
        time.sleep(LONG)
        return super().reset(**options)

    def step(self, action):
        time.sleep(0.1 * WATCHDOG)
        self._taken.append(self.n)
        obs, reward, _, _, info = super().step(action)
        return obs, reward, False, False, info


class Clumsy(RemoteToy):
    """Cannot even hold."""

    def hold(self):
        super().hold()
        raise ValueError("a bug in hold")


@pytest.fixture(params=["network", "shared memory"])
def channel(request):
    return request.param


@pytest.fixture
def taken():
    return []


@pytest.fixture
def served(taken):
    kinds = {"Slow": lambda: Slow(taken), "Clumsy": Clumsy, "Toy": RemoteToy}

    def make(env_id):
        env = kinds[env_id]()
        env.spec = EnvSpec(env_id)
        return env

    return {"arm": [Served(kind, make=make) for kind in kinds]}


def test_a_reset_that_takes_longer_than_the_watchdog_is_no_silence(tmp_path, channel, served):
    with fleet(tmp_path, served, watchdog=WATCHDOG) as running:
        env = running.env(env_id="Slow", channel=channel)
        env.reset()
        assert env.step(STILL)[1] == 1.0


def test_a_chunk_that_takes_longer_than_the_watchdog_is_no_silence(tmp_path, channel, served):
    with fleet(tmp_path, served, watchdog=WATCHDOG) as running:
        env = running.env(env_id="Slow", channel=channel)
        env.reset()
        assert len(env.step_chunk([STILL] * 15)) == 15
        assert env.step(STILL)[1] == 16.0


def test_a_chunk_ends_when_its_client_leaves(tmp_path, channel, served, taken):
    with fleet(tmp_path, served) as running:
        env = running.env(env_id="Slow", channel=channel)
        env.reset()
        env._episode._talk.ask(Ask.CHUNK, [STILL] * 1000)
        wait(lambda: len(taken) > 2)
        uplink = env._way.uplink
        assert uplink is not None
        uplink.close()
        env._way.drop()
        assert HELD.wait(5.0)
        assert len(taken) < 100


def test_a_chunk_ends_when_its_client_has_given_it_up_and_asks_for_the_robot_anew(tmp_path, channel, served, taken):
    with fleet(tmp_path, served) as running:
        env = running.env(env_id="Slow", channel=channel, timeout=0.01)
        env.reset()
        assert env.step_chunk([STILL] * 100)[0].info["fault"].startswith("LinkLost")
        env.reset()
        assert len(taken) < 50


def test_an_edge_that_is_closed_does_not_wait_for_the_end_of_a_chunk(tmp_path, channel, served, taken):
    with fleet(tmp_path, served) as running:
        env = running.env(env_id="Slow", channel=channel)
        env.reset()
        env._episode._talk.ask(Ask.CHUNK, [STILL] * 1000)
        wait(lambda: len(taken) > 2)
        running.host.close()
        assert HELD.is_set()
        assert len(taken) < 100


def test_an_error_in_the_environments_program_holds_the_robot(tmp_path, channel, served):
    with fleet(tmp_path, served) as running:
        env = running.env(env_id="Toy", channel=channel)
        env.reset()
        with pytest.raises(RobotFault, match="a bug"):
            env.step(STILL + BROKEN)
        assert HELD.wait(5.0)


def test_an_environment_that_cannot_hold_does_not_end_the_thread_of_its_robot(tmp_path, channel, served, caplog):
    with fleet(tmp_path, served, watchdog=WATCHDOG) as running:
        env = running.env(env_id="Clumsy", channel=channel)
        env.reset()
        assert HELD.wait(5.0)
        with pytest.raises(Stopped, match="no word of"):
            env.step(STILL)
        env.reset()
        assert env.step(STILL)[1] == 1.0
    assert "a bug in hold" in caplog.text


def test_orders_of_another_lease_do_not_put_the_watchdog_off(tmp_path, served):
    with fleet(tmp_path, served, watchdog=WATCHDOG) as running:
        env = running.env(env_id="Toy", channel="network")
        env.reset()
        stray = Order(Ask.STEP, "0" * 32, 0, {}, np.empty(0, np.uint8), lambda *answer: None)
        begun = time.monotonic()
        while not HELD.wait(0.3 * WATCHDOG):
            running.host._seats["arm"].put(stray)
            assert time.monotonic() < begun + 5.0, "put off for good"


def test_a_client_that_hangs_before_it_takes_an_answer_is_noticed_after_the_watchdog(tmp_path, served):
    with fleet(tmp_path, served, watchdog=WATCHDOG) as running:
        env = running.env(env_id="Toy", channel="shared memory")
        begun = time.monotonic()
        env._episode.ask_reset({"seed": None, "options": None})
        assert HELD.wait(8.0)
        assert time.monotonic() < begun + 5.0


def test_a_bug_ends_what_a_client_does_and_not_the_thread_that_holds_its_robot(tmp_path, channel, served, caplog):
    def broken(*answer):
        raise ZeroDivisionError("a bug in an answer")

    with fleet(tmp_path, served) as running:
        env = running.env(env_id="Toy", channel=channel)
        env.reset()
        stray = Order(Ask.STEP, "0" * 32, 0, {}, np.empty(0, np.uint8), broken)
        running.host._seats["arm"]._orders.append(stray)
        running.host._seats["arm"].put(stray)  # both at once
        assert HELD.wait(5.0)
        with pytest.raises(Stopped) if channel == "network" else nullcontext():
            env.step(STILL)
        env.reset()
        assert env.step(STILL)[1] == 1.0
    assert caplog.text.count("ZeroDivisionError: a bug in an answer") >= 2


@pytest.mark.parametrize("broken", [0, 1])
def test_a_robot_that_cannot_be_stopped_does_not_keep_the_others_from_holding(tmp_path, broken):
    with fleet(tmp_path, {"a": TOY, "b": TOY}) as running:
        seats = list(running.host._seats.values())

        def refuse(by):
            raise OSError("no bell")

        seats[broken].stop = refuse
        with pytest.raises(OSError, match="no bell"):
            running.host.stop("boss")
        assert seats[1 - broken]._stage.halted is not None
