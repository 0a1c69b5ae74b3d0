"""Real processes on either side, killed at once: the robot holds, the episode ends with a fault, and no memory is left."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from remote_parts import TIMEOUT, fleet, wait
from remote_toys import HELD, ID

from user_gym.errors import LinkLost
from user_gym.system.link.hub import Hub, leases
from user_gym.system.link.remote.env import RemoteEnv

STILL = np.zeros(2, np.float32)
CLIENT = """
import sys, time, numpy as np
from user_gym.system.link.remote.env import RemoteEnv
env = RemoteEnv(hub=sys.argv[1], edge="e1", env_id=sys.argv[2], channel=sys.argv[3])
env.reset()
for _ in range(5):  # of 10: within an episode, or there is nothing to hold
    env.step(np.zeros(2, np.float32))
print("steps over", env.channel, flush=True)
time.sleep(60.0)
"""


@pytest.fixture(params=["network", "shared memory"])
def channel(request):
    return request.param


def left_behind():
    """What has a name in memory."""
    return {name for name in os.listdir("/dev/shm") if "remote" in name}


def serving(started, port):
    where = ["--hub", f"127.0.0.1:{port}", "--name", "e1"]
    return started("-m", "user_gym.cli", "edge", *where, "--serve", f"remote_toys:{ID}", "--watchdog", "5")


def test_a_killed_edge_is_a_truncation_and_the_command_repeated_goes_on(started, channel):
    before = left_behind()
    with Hub() as hub:
        edge = serving(started, hub.port)
        edge.wait_for("e1 serves robot: RemoteToy-v0")
        wait(lambda: any(one.connected for one in hub.edges()))
        env = RemoteEnv(hub=f"127.0.0.1:{hub.port}", edge="e1", env_id=ID, channel=channel, timeout=5.0, reset_timeout=TIMEOUT)
        _, info = env.reset(seed=1)
        assert info["pid"] == edge.pid
        env.step(STILL)
        edge.end(signal.SIGKILL)
        _, _, _, truncated, info = env.step(STILL)
        assert truncated
        assert info["fault"].startswith("LinkLost: e1/robot: ")
        with pytest.raises(LinkLost):
            env.reset()
        serving(started, hub.port).wait_for("e1 serves")
        wait(lambda: any(one.connected for one in hub.edges()))
        assert env.reset(seed=2)[0]["x"].tolist() == [2, 0, 0, 0]
        assert env.channel == channel
        assert env.step(STILL)[1] == 1.0
        env.close()
    assert left_behind() == before


def test_a_killed_clients_robot_holds_and_is_free_for_others(tmp_path, started, monkeypatch, channel):
    before = left_behind()
    monkeypatch.setattr(leases, "GRACE", 0.5)
    with fleet(tmp_path) as running:
        client = started("-c", CLIENT, running.address, ID, channel)
        client.wait_for(f"steps over {channel}")
        client.end(signal.SIGKILL)
        assert HELD.wait(5.0)
        wait(lambda: not running.hub.leases())
        env = running.env(channel=channel)
        env.reset()
        assert env.step(STILL)[1] == 1.0
    assert left_behind() == before


def test_a_client_of_another_user_or_without_a_lease_is_not_let_in(tmp_path, monkeypatch):
    from user_gym.errors import PeerLost
    from user_gym.system.link.remote import pipe
    from user_gym.system.link.remote.channel import SharedChannel

    with fleet(tmp_path) as running:
        env = running.env(channel="network")
        env.reset()
        door = running.host._seats["arm"]._door
        with pytest.raises(PeerLost, match="door was not opened"):
            SharedChannel.reach(door, "0" * 32)
        with pytest.raises(PeerLost, match="another host"):
            SharedChannel.reach({**door, "boot": "x"}, env._way.lease)
        with pytest.raises(PeerLost, match="is of user"):
            SharedChannel.reach({**door, "user": door["user"] + 1}, env._way.lease)
        with pytest.raises(PeerLost, match="not to be reached"):
            SharedChannel.reach({**door, "name": "nobody"}, env._way.lease)
        with monkeypatch.context() as patched:
            patched.setattr(pipe.Pipe, "same_user", False)
            with pytest.raises(PeerLost, match="another user"):
                SharedChannel.reach(door, env._way.lease)
        assert env.step(STILL)[1] == 1.0
