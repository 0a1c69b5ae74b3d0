"""Our client and our server: what they say to each other, who is turned away, and what an answer that comes late does."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip("websockets", reason="websockets comes with the extra 'openpi'")
from policies import Failing, Held, Telling, observation
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from user_gym.core import Policy, Weights
from user_gym.errors import BadBlock, BadOption, Closed, PeerLost
from user_gym.integrations.openpi import words
from user_gym.integrations.openpi.client import RemotePolicy
from user_gym.integrations.openpi.packing import pack, unpack
from user_gym.integrations.openpi.server import PolicyServer
from user_gym.system import Broadcaster


def test_a_policy_elsewhere_is_a_policy() -> None:
    policy = Telling()
    with PolicyServer(policy, port=0) as server, RemotePolicy(server.url, prompt="insert") as remote:
        assert isinstance(remote, Policy)
        assert (remote.spec_hash, remote.version) == ("telling", -1)
        remote.reset(3)
        remote.reset()
        chunk = remote.act(observation(0.25), deterministic=True)
        np.testing.assert_array_equal(chunk.actions, np.full((3, 6), 0.25, np.float32))
        assert (chunk.version, remote.version) == (-1, -1)
        assert chunk.extra["log_prob"].tolist() == [0.0, 1.0, 2.0]
        remote.act(observation() | {"prompt": np.array("plug")})
    assert policy.seeds == [None, 3, None]  # the first: when it connected
    assert policy.deterministic == [True, False]
    assert [str(seen["prompt"]) for seen in policy.seen] == ["insert", "plug"]
    np.testing.assert_array_equal(policy.seen[0]["side"], observation()["side"])


def test_a_learners_weights_reach_the_policy_between_two_requests() -> None:
    broadcaster = Broadcaster()
    with PolicyServer(Telling(), port=0, weights=broadcaster) as server, RemotePolicy(server.url) as remote:
        assert remote.act(observation(1.0)).version == -1
        broadcaster.publish({"bias": np.array([2.0], np.float32)}, "telling")
        chunk = remote.act(observation(1.0))
        assert (chunk.version, chunk.actions[0, 0], remote.version) == (0, 3.0, 0)


def test_a_client_may_load_weights_where_the_server_says_so() -> None:
    weights = Weights(7, {"bias": np.array([0.5], np.float32)}, "telling")
    with PolicyServer(Telling(), port=0) as server, RemotePolicy(server.url) as remote:
        with pytest.raises(BadOption, match="takes no weights from clients; open it with loads=True"):
            remote.load(weights)
        assert remote.act(observation(0.0)).actions[0, 0] == 0.0
    with PolicyServer(Telling(), port=0, loads=True) as server, RemotePolicy(server.url) as remote:
        remote.load(weights)
        assert remote.version == 7
        assert remote.act(observation(0.0)).actions[0, 0] == 0.5
        with pytest.raises(BadOption, match="bad spec_hash 'other'"):
            remote.load(Weights(8, weights.arrays, "other"))
        assert remote.act(observation(0.0)).version == 7


def test_an_answer_that_comes_late_is_not_taken_for_the_next_one() -> None:
    policy = Held()
    with PolicyServer(policy, port=0) as server, RemotePolicy(server.url, timeout=0.2) as remote:
        connection = remote._connection
        with pytest.raises(PeerLost, match=r"did not answer within 0.2 s; give it more `timeout`"):
            remote.act(observation(1.0))
        policy.let.set()
        remote._timeout = 20.0
        assert remote.act(observation(2.0)).actions[0, 0] == 2.0
        assert remote._connection is connection


def test_a_late_answer_of_another_server_costs_the_connection() -> None:
    let = threading.Event()
    served: list[int] = []

    def handle(connection: ServerConnection) -> None:
        served.append(1)
        connection.send(pack({}))
        for data in connection:
            first = len(served) == 1
            if first:
                assert let.wait(20.0)
            connection.send(pack({"actions": np.full((1, 6), 1.0 if first else 2.0)}))
            assert isinstance(data, bytes)
            assert words.TAG not in unpack(data)

    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with RemotePolicy(f"ws://127.0.0.1:{server.socket.getsockname()[1]}", timeout=0.2) as remote:
            with pytest.raises(PeerLost, match="did not answer"):
                remote.act(observation())
            let.set()
            remote._timeout = 20.0
            assert remote.act(observation()).actions[0, 0] == 2.0
        server.shutdown()
        thread.join(10.0)


def test_a_client_comes_back_after_the_server_was_away() -> None:
    server = PolicyServer(Telling(), port=0)
    server.open()
    port, pauses = server.port, []
    again = PolicyServer(Telling(), port=port)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            again.open()

    with RemotePolicy(f"ws://127.0.0.1:{port}", pause=pause) as remote:
        assert remote.act(observation(1.0)).actions[0, 0] == 1.0
        server.close()
        assert remote.act(observation(2.0)).actions[0, 0] == 2.0
    again.close()
    assert len(pauses) == 5
    assert all(0.025 * 2**i <= seconds <= 0.05 * 2**i for i, seconds in enumerate(pauses))


def test_a_server_that_is_not_there_is_named() -> None:
    with PolicyServer(Telling(), port=0) as server:
        url = server.url
        assert RemotePolicy(url).healthy()
    assert not RemotePolicy(url).healthy(timeout=1.0)
    with pytest.raises(PeerLost, match=rf"no policy server at {url} for 0 s: .*; is it running\?"):
        RemotePolicy(url, patience=0.0).act(observation())
    server.close()
    with pytest.raises(Closed, match="not open"):
        _ = server.port


def test_a_server_that_closes_at_each_request_is_not_asked_for_ever() -> None:
    def handle(connection: ServerConnection) -> None:
        connection.send(pack({}))
        connection.recv()

    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        remote = RemotePolicy(f"ws://127.0.0.1:{server.socket.getsockname()[1]}")
        with pytest.raises(PeerLost, match="closed the connection 3 times at the same request"):
            remote.act(observation())
        server.shutdown()
        thread.join(10.0)


def test_more_clients_than_there_is_room_for_are_turned_away() -> None:
    with PolicyServer(Telling(), port=0, clients=1) as server, RemotePolicy(server.url):
        with connect(server.url) as second, pytest.raises(ConnectionClosed) as caught:
            second.recv(10.0)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1013, "1 clients are connected already")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("text", "binary frame"),
        (b"\xc1", "bad block: message"),
        (pack({"state": [1.0]}), "bad observation 'state' 'list'; allowed: an array of numbers"),
        (pack({"state": np.ones(19), "prompt": 5}), "bad prompt 'prompt' 5; allowed: a text"),
        (pack({words.ORDER: "stop"}), "unknown order 'stop'; known: load, reset"),
        (pack({words.ORDER: "reset", "seed": -1}), "bad seed -1"),
    ],
)
def test_a_bad_request_gets_one_text_and_the_connection_goes_on(request_: Any, message: str) -> None:
    with PolicyServer(Telling(), port=0) as server, connect(server.url) as raw:
        assert unpack(raw.recv(10.0))["spec_hash"] == "telling"  # pyright: ignore[reportArgumentType]
        raw.send(request_)
        answer = raw.recv(10.0)
        assert isinstance(answer, str)
        assert message in answer
        raw.send(pack({"state": np.ones(19), words.TAG: 4}))
        assert unpack(raw.recv(10.0))[words.TAG] == 4  # pyright: ignore[reportArgumentType]


def test_a_request_that_is_too_large_ends_the_connection_and_no_other() -> None:
    with PolicyServer(Telling(), port=0, most_bytes=1000) as server, RemotePolicy(server.url) as other:
        with connect(server.url) as raw:
            raw.recv(10.0)
            raw.send(bytes(2000))
            with pytest.raises(ConnectionClosed) as caught:
                raw.recv(10.0)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1009
        assert other.act({"state": np.ones(19, np.float32)}).actions[0, 0] == 1.0


def test_our_client_says_what_failed_there() -> None:
    with PolicyServer(Failing(), port=0) as server:
        remote = RemotePolicy(server.url)
        with pytest.raises(PeerLost, match=r"(?s)failed:\nTraceback.*the model is gone"):
            remote.act(observation())


@pytest.mark.parametrize("first", ["hello", b"\xc1"])
def test_a_server_that_does_not_begin_with_metadata_is_none(first: str | bytes) -> None:
    def handle(connection: ServerConnection) -> None:
        connection.send(first)

    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(BadBlock):
            RemotePolicy(f"ws://127.0.0.1:{server.socket.getsockname()[1]}").open()
        server.shutdown()
        thread.join(10.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uri": "http://127.0.0.1:1"}, "bad uri 'http://127.0.0.1:1'; allowed: 'ws://host:port'"),
        ({"uri": 8000}, "bad uri 8000"),
        ({"timeout": 0}, "bad timeout 0"),
        ({"patience": -1.0}, "bad patience"),
        ({"axes": 0}, "bad axes 0"),
    ],
)
def test_options_of_a_client_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        RemotePolicy(**({"uri": "ws://127.0.0.1:1"} | options))


@pytest.mark.parametrize(("options", "message"), [({"port": 70000}, "bad port 70000"), ({"clients": 0}, "bad clients 0")])
def test_options_of_a_server_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        PolicyServer(Telling(), **options)


def test_an_address_that_is_taken_is_named() -> None:
    with PolicyServer(Telling(), port=0) as server, pytest.raises(BadOption, match=rf"bad address '127.0.0.1:{server.port}'"):
        PolicyServer(Telling(), port=server.port).open()
