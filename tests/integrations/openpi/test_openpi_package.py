"""openpi's own package against our server, and our client against a server made of that package's parts."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

pytest.importorskip("websockets", reason="websockets comes with the extra 'openpi'")
pytest.importorskip("openpi_client", reason="openpi-client is not installed: pip install --no-deps openpi-client")
from openpi_client import msgpack_numpy
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from policies import Failing, Telling, observation
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from user_gym.errors import PeerLost
from user_gym.integrations.openpi.client import RemotePolicy
from user_gym.integrations.openpi.conventions import LIBERO
from user_gym.integrations.openpi.server import PolicyServer


def their_client(port: int) -> WebsocketClientPolicy:
    with warnings.catch_warnings():  # it calls websockets in a way that newer versions of that advise against
        warnings.simplefilter("ignore", DeprecationWarning)
        client = WebsocketClientPolicy("127.0.0.1", port)
    client._ws.pending_legacy_warning = False
    return client


@contextmanager
def their_server(answers: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What openpi's server does, by its package's bytes: metadata, then answers, or a traceback and code 1011."""
    requests: list[dict[str, Any]] = []

    def handle(connection: ServerConnection) -> None:
        packer = msgpack_numpy.Packer()
        connection.send(packer.pack({"reset_pose": [0.0, 0.1], "name": "pi0_libero"}))
        for data in connection:
            requests.append(msgpack_numpy.unpackb(data))
            try:
                answer = answers(requests[-1])
            except ZeroDivisionError as error:
                connection.send(f"Traceback (most recent call last):\n  ...\nZeroDivisionError: {error}\n")
                connection.close(1011, "Internal server error. Traceback included in previous frame.")
                return
            connection.send(packer.pack(answer))

    with serve(handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}", requests
        server.shutdown()
        thread.join(10.0)


def test_their_client_is_served_by_our_server() -> None:
    policy = Telling()
    with PolicyServer(policy, port=0, convention=LIBERO, metadata={"robot": "franka-fr3"}) as server:
        client = their_client(server.port)
        assert client.get_server_metadata()["robot"] == "franka-fr3"
        obs = observation(0.5)
        for prompt in ("insert the peg", "plug it in"):
            told = {"observation/state": obs["state"], "observation/image": obs["side"], "prompt": prompt}
            answer = client.infer(told | {"observation/wrist_image": obs["wrist"]})
            assert (answer["actions"].shape, answer["actions"].dtype, answer["actions"][0, 0]) == ((3, 6), np.float32, 0.5)
            assert answer["server_timing"]["infer_ms"] >= 0.0
            assert policy.seen[-1].keys() == {"state", "wrist", "side", "prompt"}
            assert str(policy.seen[-1]["prompt"]) == prompt
            np.testing.assert_array_equal(policy.seen[-1]["wrist"], obs["wrist"])
        assert "prev_total_ms" in answer["server_timing"]
        client._ws.close()


def test_their_client_is_told_of_errors_as_by_their_server() -> None:
    with PolicyServer(Telling(), port=0) as server:
        client = their_client(server.port)
        with pytest.raises(RuntimeError, match=r"Error in inference server:\nbad observation 'state' 'str'; allowed: an array"):
            client.infer({"state": "high"})
        assert client.infer({"state": np.ones(19, np.float32)})["actions"][0, 0] == 1.0  # and the connection goes on
        client._ws.close()
    with PolicyServer(Failing(), port=0) as server:
        client = their_client(server.port)
        with pytest.raises(RuntimeError, match=r"(?s)Traceback .*ZeroDivisionError: the model is gone"):
            client.infer({"state": np.ones(19, np.float32)})
        with pytest.raises(ConnectionClosed) as caught:
            client.infer({"state": np.ones(19, np.float32)})
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1011


def test_our_client_asks_their_server() -> None:
    def answers(request: dict[str, Any]) -> dict[str, Any]:
        return {
            "actions": np.arange(320.0).reshape(10, 32) * request["observation/state"][0],
            "server_timing": {"infer_ms": 1.0},
        }

    with their_server(answers) as (uri, requests):
        with RemotePolicy(uri, convention=LIBERO, prompt="insert the peg", axes=6) as policy:
            assert policy.metadata["name"] == "pi0_libero"
            policy.reset(5)
            chunk = policy.act(observation(2.0))
        assert (chunk.actions.shape, chunk.actions.dtype, chunk.version) == ((10, 6), np.float32, 0)
        assert chunk.actions[1].tolist() == [64.0, 66.0, 68.0, 70.0, 72.0, 74.0]
        assert [request.keys() for request in requests] == [
            {"observation/state", "observation/image", "observation/wrist_image", "prompt"}
        ]
        np.testing.assert_array_equal(requests[0]["observation/image"], observation()["side"])


def test_what_fails_at_their_server_is_said_in_its_own_words_and_the_next_request_connects_anew() -> None:
    failed: list[bool] = []

    def answers(request: dict[str, Any]) -> dict[str, Any]:
        if not failed:
            failed.append(True)
            raise ZeroDivisionError("no checkpoint")
        return {"actions": np.ones((2, 6))}

    with their_server(answers) as (uri, _), RemotePolicy(uri, pause=lambda s: None) as policy:
        with pytest.raises(PeerLost, match=r"(?s)policy at ws://127.0.0.1:\d+ failed:\nTraceback.*no checkpoint"):
            policy.act(observation())
        assert policy.act(observation()).actions.shape == (2, 6)
