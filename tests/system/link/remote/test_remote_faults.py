"""A remote environment when something is late, gone, or stopped by a person."""

from __future__ import annotations

import json
from queue import SimpleQueue

import numpy as np
import pytest
from remote_parts import TOY, fleet, wait
from remote_toys import CLOSED, GATE, HELD, ID, SLOW

from user_gym.errors import Halted, LinkLost, NotAdmitted, PeerLost, Stopped
from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.hub import Hub, leases
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.remote.channel import NetworkChannel
from user_gym.system.link.remote.env import RemoteEnv
from user_gym.system.link.remote.uplink import Uplink
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message

STILL = np.zeros(2, np.float32)


@pytest.fixture(params=["network", "shared memory"])
def channel(request):
    return request.param


def test_no_answer_in_time_is_a_truncation_with_a_fault_and_the_late_one_is_dropped(tmp_path, channel):
    with fleet(tmp_path) as running:
        env = running.env(channel=channel, timeout=0.2)
        env.reset(seed=1)
        env.step(STILL)
        obs, reward, terminated, truncated, info = env.step(STILL + SLOW)
        assert (obs["x"].tolist(), reward, terminated, truncated) == ([1, 1, 1, 1], 0.0, False, True)
        assert info["fault"].startswith("LinkLost: e1/arm: no answer")
        assert info["time"] == pytest.approx(0.1)
        with pytest.raises(LinkLost, match=r"reset\(\) goes on"):
            env.step(STILL)
        GATE.set()
        if channel == "network":
            wait(lambda: env.late == 1)
        assert env.reset(seed=2)[0]["x"].tolist() == [2, 0, 0, 0]
        assert env.step(STILL)[0]["x"].tolist() == [2, 1, 1, 1]


def test_a_reset_while_the_late_step_still_runs_gets_its_own_answer(tmp_path, channel):
    with fleet(tmp_path) as running:
        env = running.env(channel=channel, timeout=0.1)
        env.reset(seed=1)
        assert env.step(STILL + SLOW)[3]
        GATE.set()
        assert env.reset(seed=2)[0]["x"].tolist() == [2, 0, 0, 0]
        assert env.step(STILL)[1] == 1.0


class Wire(Uplink):
    """What is sent, for a test to answer."""

    def __init__(self):
        super().__init__("test")
        self.sent = []

    def send(self, message):
        self.sent.append(message)


def test_an_answer_is_never_taken_for_the_next_one():
    wire = Wire()
    channel = NetworkChannel(wire, "lease")
    first = channel.ask(7, {"x": 1.0})
    with pytest.raises(PeerLost, match="no answer in time"):
        channel.hear(7, first, 0.01)
    second = channel.ask(7, {"x": 2.0})
    wire.reply(Message(Kind.OUTCOME, {"form": ["float"]}, {"block": np.ones(1).view(np.uint8)}, first))
    assert wire.late == 1
    wire.reply(Message(Kind.OUTCOME, {"form": ["float"]}, {"block": np.full(1, 2.0).view(np.uint8)}, second))
    assert channel.hear(7, second, 1.0)[0] == 2.0
    wire.reply(Message(Kind.OUTCOME, {}, {}, second))
    wire.reply(Message(Kind.OUTCOME, {}, {}, 99))
    assert wire.late == 3


def test_who_waits_hears_of_a_lost_connection_at_once():
    wire = Wire()
    inbox = SimpleQueue()
    number = wire.order(lambda number: Message(Kind.ORDER, {}, {}, number), inbox)
    wire._lost(PeerLost("torn"))
    with pytest.raises(PeerLost, match="torn"):
        wire.wait(number, inbox, 1e9)


def test_a_silent_clients_robot_holds_after_the_watchdogs_time_and_a_reset_goes_on(tmp_path, channel):
    with fleet(tmp_path, watchdog=0.15) as running:
        env = running.env(channel=channel)
        env.reset()
        env.step(STILL)
        assert HELD.wait(5.0)
        with pytest.raises(Stopped, match=r"no word of client-\d+#\w+ for 0\.15 s"):
            env.step(STILL)
        env.reset()
        assert env.step(STILL)[1] == 1.0


def test_attending_puts_the_watchdog_off(tmp_path, channel):
    with fleet(tmp_path, watchdog=0.5) as running:
        env = running.env(channel=channel)
        env.reset()
        for _ in range(4):
            assert not HELD.wait(0.25)
            env.attend()
        assert env.step(STILL)[1] == 1.0


def test_a_persons_stop_ends_stepping_until_a_reset_after_it_was_told(tmp_path, channel):
    with fleet(tmp_path) as running:
        env = running.env(channel=channel)
        env.reset()
        env.step(STILL)
        assert running.hub.stop(by="boss") == {"e1": "stopped"}
        assert HELD.wait(5.0)
        assert not running.hub.leases()
        with pytest.raises(Halted, match="stopped by boss"):
            env.step(STILL)
        env.reset()
        assert env.step(STILL)[1] == 1.0


def test_a_stop_that_nobody_was_told_of_is_raised_by_one_reset(tmp_path, channel):
    with fleet(tmp_path) as running:
        env = running.env(channel=channel)
        env.reset()
        running.hub.stop("e1", by="boss")
        with pytest.raises(Halted, match="stopped by boss"):
            env.reset()
        env.reset()
        assert env.step(STILL)[1] == 1.0


def test_a_client_that_is_gone_loses_its_robot_after_a_while(tmp_path, monkeypatch, channel):
    monkeypatch.setattr(leases, "GRACE", 0.3)
    with fleet(tmp_path) as running:
        env = running.env(channel=channel)
        env.reset()
        env._way.uplink.close()
        if channel == "network":
            assert HELD.wait(5.0)
        wait(lambda: not running.hub.leases())
        wait(CLOSED.is_set)
        assert env.step(STILL)[4]["fault"].startswith("LinkLost: ")
        env.reset()
        assert env.step(STILL)[1] == 1.0


def test_a_hub_that_is_begun_anew_keeps_to_leases_that_count_at_edges(tmp_path):
    with fleet(tmp_path) as running:
        env = running.env(channel="shared memory")
        env.reset()
        port = running.hub.port
        running.hub.close()
        assert env.step(STILL)[1] == 1.0
        with Hub(f"127.0.0.1:{port}") as again:
            wait(lambda: any(edge.connected for edge in again.edges()))
            assert again.leases() == {"e1/arm": env._way.uplink.name}
            wait(lambda: env._way.uplink._connection is not None)  # the client comes back by itself, and keeps its robot
            assert env.step(STILL)[1] == 2.0
            env.close()
            wait(lambda: not again.leases())


def test_a_lost_edge_is_a_truncation_and_its_return_a_reset(tmp_path, channel):
    with fleet(tmp_path) as running:
        env = running.env(channel=channel, reset_timeout=5.0)
        env.reset()
        env.step(STILL)
        running.edge.close()
        running.host.close()
        _, _, _, truncated, info = env.step(STILL)
        assert truncated
        assert info["fault"].startswith("LinkLost: e1/arm: ")
        with pytest.raises(LinkLost, match="no edge is connected that has e1/arm"):
            env.reset()


def enrolled(folder, name, role, hub):
    bundle = folder.enroll(name, hub, role=role)
    path = folder.path.parent / f"{name}.bundle"
    bundle.save(path)
    return path, bundle


def test_bundles_say_who_may_step_and_the_diary_keeps_it(tmp_path, monkeypatch):
    from user_gym.system.link.remote.host import Host

    folder = HubFolder(tmp_path / "hub")
    mine = enrolled(folder, "e1", "edge", "127.0.0.1:1")[1]
    with (
        Hub(folder=folder) as hub,
        Host({"arm": TOY}) as host,
        Spool.open(tmp_path / "spool") as spool,
        Edge(f"127.0.0.1:{hub.port}", spool, bundle=mine, robots=(), host=host) as edge,
    ):
        edge.wait(20.0)
        address = f"127.0.0.1:{hub.port}"
        client, _ = enrolled(folder, "ann", "client", address)
        boss, _ = enrolled(folder, "boss", "operator", address)
        with pytest.raises(NotAdmitted, match="'boss' is no client"):
            RemoteEnv(bundle=boss, env_id=ID)
        env = RemoteEnv(bundle=client, env_id=ID, channel="network")
        env.reset()
        assert env.step(STILL)[1] == 1.0
        _, wolf = enrolled(folder, "wolf", "client", address)
        with (
            Spool.open(tmp_path / "spool-2") as other,
            Edge(address, other, bundle=wolf, robots=()) as pretended,
            pytest.raises(NotAdmitted, match="is a client, and no edge"),
        ):
            pretended.wait(20.0)
        monkeypatch.setattr(leases, "GRACE", 0.1)
        folder.revoke("ann")
        wait(lambda: not hub.leases())
        assert env.step(STILL)[4]["fault"].startswith("LinkLost")
        with pytest.raises(NotAdmitted, match="was revoked"):
            env.reset()
        env.close()
    notes = [json.loads(line) for line in (folder.path / "audit.jsonl").read_text().splitlines()]
    assert [(n["what"], n.get("robot")) for n in notes if n["what"].startswith("lease")] == [
        ("lease granted", "e1/arm"),
        ("lease ended", "e1/arm"),
    ]
    assert {"turned away", "put out"} <= {note["what"] for note in notes}
