"""A lease that is over at a hub or an edge that was begun anew, an answer that cannot travel, and ends that have to be told."""

from __future__ import annotations

import time

import numpy as np
import pytest
from remote_parts import TIMEOUT, TOY, fleet, wait
from remote_toys import RemoteToy

from user_gym.errors import BadBlock, LinkLost, RobotFault
from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.hub import Hub
from user_gym.system.link.relay import Relay
from user_gym.system.link.remote.host import Host
from user_gym.system.link.remote.served import Served

STILL = np.zeros(2, np.float32)


class Talkative(RemoteToy):
    """What each info says."""

    text = ""

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated, truncated, {**info, "text": self.text}


def connected(env):
    return env._way.uplink._connection is not None


def test_a_step_to_an_edge_that_was_begun_anew_is_a_truncation_and_a_reset_goes_on(tmp_path):
    with fleet(tmp_path) as running:
        env = running.env(channel="network")
        env.reset()
        env.step(STILL)
        running.edge.close()
        running.host.close()
        with (
            Host({"arm": TOY}) as host,
            Spool.open(tmp_path / "spool-2") as spool,
            Edge(running.address, spool, name="e1", robots=(), host=host) as edge,
        ):
            edge.wait(TIMEOUT)
            _, _, _, truncated, info = env.step(STILL)
            assert truncated
            assert info["fault"].startswith("LinkLost: e1/arm: ")
            env.reset()
            assert env.step(STILL)[1] == 1.0


def test_a_step_through_a_hub_that_was_begun_anew_and_knows_no_lease_is_a_truncation(tmp_path):
    with fleet(tmp_path) as running:
        env = running.env(channel="network")
        env.reset()
        env.step(STILL)
        port = running.hub.port
        running.edge.close()
        running.hub.close()
        with Hub(f"127.0.0.1:{port}"):
            wait(lambda: connected(env))
            assert env.step_chunk([STILL, STILL])[0].info["fault"].startswith("LinkLost: e1/arm: ")
            with pytest.raises(LinkLost):
                env.step(STILL)


def test_a_reset_takes_no_longer_than_its_time_where_the_hub_is_silent(tmp_path):
    with fleet(tmp_path) as running, Relay(running.address) as relay:
        env = running.env(hub=relay.address, channel="network", timeout=0.2, reset_timeout=0.5)
        env.reset()
        relay.cut()
        relay.reset()
        wait(lambda: not connected(env))
        begun = time.monotonic()
        assert env.step(STILL)[4]["fault"].startswith("LinkLost")
        with pytest.raises(LinkLost, match=r"was not reached in 0\.\d* s"):
            env.reset()
        assert time.monotonic() < begun + 3.0


@pytest.mark.parametrize("text", ["\udcff", "x" * (1 << 21)], ids=["no text", "too much"])
def test_an_answer_that_cannot_travel_is_told_to_who_waits_for_it(tmp_path, text):
    class Now(Talkative):
        pass

    Now.text = text
    with fleet(tmp_path, {"arm": [Served("Talkative", make=lambda env_id: Now())]}) as running:
        env = running.env(env_id="Talkative", channel="network", timeout=TIMEOUT)
        env.reset()
        with pytest.raises(Exception, match="of a message") as raised:
            env.step(STILL)
        assert not isinstance(raised.value, RobotFault)


@pytest.mark.parametrize("tree", [5, {"obs": {}}, {"obs": {}, "info": []}, []], ids=str)
def test_an_answer_that_is_none_is_an_error_of_ours(tmp_path, monkeypatch, tree):
    with fleet(tmp_path) as running:
        env = running.env(channel="network")
        env.reset()
        seat = running.host._seats["arm"]
        with monkeypatch.context() as patched:
            for name in ("reset", "chunk", "record"):
                patched.setattr(seat._stage, name, lambda *asked: tree)
            with pytest.raises(BadBlock, match="to a chunk"):
                env.step_chunk([STILL])
            with pytest.raises(BadBlock, match="to STATE"):
                _ = env.state
            with pytest.raises(BadBlock, match="to a reset"):
                env.reset()
        env.reset()
        with monkeypatch.context() as patched:
            three = [seat._stage.step(STILL) for _ in range(3)]
            patched.setattr(seat._stage, "chunk", lambda *asked: three)
            with pytest.raises(BadBlock, match=r"a list of 1\.\.2 steps"):
                env.step_chunk([STILL, STILL])
