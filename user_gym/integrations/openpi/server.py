"""Serves a policy of ours by openpi's websocket protocol, to its unmodified clients and to `RemotePolicy`.

    with PolicyServer(policy, port=8000) as server:   # openpi_client's WebsocketClientPolicy("127.0.0.1", 8000).infer(obs)
        server.wait()

The first frame is metadata, then each request is an observation and each answer {"actions": (h, a), "server_timing": ...}. An
error is a text frame; where the policy itself failed it is a traceback, and the connection is closed with code 1011, as by
openpi's server. GET /healthz answers 200. Whoever reaches the port may use the policy: unless told otherwise it is loopback's.
"""

from __future__ import annotations

import http
import logging
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from user_gym.core import Policy, Weights, whole
from user_gym.errors import BadBlock, BadOption, Closed, MissingExtra, UserGymError
from user_gym.integrations.openpi import words
from user_gym.integrations.openpi.conventions import OURS, Convention
from user_gym.integrations.openpi.packing import pack, unpack
from user_gym.system.weights import Subscriber

try:
    from websockets.exceptions import ConnectionClosed
    from websockets.frames import CloseCode
    from websockets.http11 import Request, Response
    from websockets.sync.server import Server, ServerConnection, serve
except ImportError as error:
    raise MissingExtra("websockets", "openpi") from error

logger = logging.getLogger(__name__)

HEALTH = "/healthz"
MOST_BYTES = 64 << 20  # of a message


class PolicyServer:
    """A policy and who may ask it. `open` it first, `close` it last. Each client has a thread; the policy acts for one by one.

    A policy begins an episode when a client connects, and when one of ours says so. Where it remembers what it saw, it can
    have one client at a time only.

    Args:
        policy: acts; owned by this server from now on.
        host: to listen on; another than loopback lets strangers in.
        port: 0: a free one; see `port` after `open`.
        convention: what clients call things.
        metadata: what clients are told first, beside what our own need.
        weights: where newer weights come from, as for a Collector; they are swapped between two requests.
        loads: whether clients of ours may load weights.
        clients: how many may be connected at once; more are turned away (code 1013).
        most_bytes: of a request.

    Raises:
        BadOption: an option has a value that is not allowed.
    """

    def __init__(
        self,
        policy: Policy,
        host: str = "127.0.0.1",
        port: int = 8000,
        *,
        convention: Convention = OURS,
        metadata: Mapping[str, Any] | None = None,
        weights: Subscriber | None = None,
        loads: bool = False,
        clients: int = 8,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        if whole("port", port, 0) > 65535:
            raise BadOption("port", port, "0 .. 65535")
        self._policy, self._host, self._port, self._convention = policy, host, port, convention
        self._weights, self._loads = weights, bool(loads)
        self._most, self._most_bytes = whole("clients", clients, 1), whole("most_bytes", most_bytes, 1)
        self._metadata = pack({**(metadata or {}), words.OURS: words.PROTOCOL, "spec_hash": policy.spec_hash})
        self._acting = threading.Lock()  # the policy has one user at a time
        self._counting = threading.Lock()
        self._connected = 0
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """That it listens on. Raises Closed."""
        if self._server is None:
            raise Closed("the policy server is not open; call open()")
        return int(self._server.socket.getsockname()[1])

    @property
    def url(self) -> str:
        """For `RemotePolicy`. Raises Closed."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"ws://{host}:{self.port}"

    def open(self) -> None:
        """Listen. Raises BadOption where the address cannot be had."""
        try:
            self._server = serve(
                self._serve,
                self._host,
                self._port,
                process_request=_health,
                compression=None,
                max_size=self._most_bytes,
                close_timeout=1.0,
            )
        except OSError as error:
            raise BadOption("address", f"{self._host}:{self._port}", f"a free one of this machine: {error}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="policy-server", daemon=True)
        self._thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Return when it is closed by another thread, or after `timeout` s."""
        if self._thread is not None:
            self._thread.join(timeout)

    def close(self) -> None:
        """Send clients away (code 1001) and let go of the port. An answer on its way is waited for. May be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
        if self._thread is not None:
            self._thread.join(10.0)

    def __enter__(self) -> PolicyServer:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _serve(self, connection: ServerConnection) -> None:
        """One client, from its first frame to its last."""
        with self._counting:
            self._connected += 1
            full = self._connected > self._most
        try:
            if full:
                connection.close(CloseCode.TRY_AGAIN_LATER, f"{self._most} clients are connected already")
                return
            with self._acting:
                self._policy.reset()
            connection.send(self._metadata)
            before: float | None = None  # s that the request before took
            while True:
                data = connection.recv()
                began = time.monotonic()
                connection.send(self._answer(data, before))
                before = time.monotonic() - began
        except ConnectionClosed:
            pass  # the client is gone, or the server closes
        except Exception:  # top of a thread; openpi's server tells its client the same way
            logger.exception("the policy failed for a client")
            with suppress(ConnectionClosed):
                connection.send(traceback.format_exc())
            connection.close(CloseCode.INTERNAL_ERROR, "the policy failed; the frame before says how")
        finally:
            with self._counting:
                self._connected -= 1

    def _answer(self, data: str | bytes, before: float | None) -> bytes | str:
        """What a request is answered: a message; a text where the request was bad. What the policy raises goes on."""
        tag: Any = None
        try:
            if isinstance(data, str):
                raise BadBlock("request", data, "a binary frame: a map in msgpack")
            request = unpack(data)
            tag = request.pop(words.TAG, None)
            order = request.pop(words.ORDER, None)
            made = self._infer(request, before) if order is None else self._obey(order, request)
        except (_BadRequest, BadBlock) as error:
            if tag is None:
                return str(error)
            made = {words.ERROR: str(error)}
        return pack(made if tag is None else made | {words.TAG: tag})

    def _infer(self, request: dict[str, Any], before: float | None) -> dict[str, Any]:
        deterministic = bool(request.pop(words.DETERMINISTIC, False))
        try:
            obs = self._convention.here(request)
        except BadOption as error:
            raise _BadRequest(str(error)) from error
        with self._acting:
            began = time.monotonic()
            newer = self._weights.newest(self._policy.version) if self._weights is not None else None
            if newer is not None:
                self._policy.load(newer)
            try:
                made = self._policy.act(obs, deterministic)
            except UserGymError as error:  # deliberate: it says what is wrong with the observation
                raise _BadRequest(str(error)) from error
            timing = {"infer_ms": 1000.0 * (time.monotonic() - began)}
        if before is not None:
            timing["prev_total_ms"] = 1000.0 * before
        answer = {**self._convention.answer(made.actions), "server_timing": timing, words.VERSION: made.version}
        return answer | {f"{words.EXTRA}{name}": column for name, column in made.extra.items()}

    def _obey(self, order: Any, request: dict[str, Any]) -> dict[str, Any]:
        if order == words.RESET:
            seed = request.get("seed")
            if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
                raise _BadRequest(f"bad seed {seed!r}; allowed: a whole number, 0 or more, or none")
            with self._acting:
                self._policy.reset(seed)
            return {words.VERSION: self._policy.version}
        if order != words.LOAD:
            raise _BadRequest(f"unknown order {order!r}; known: {words.LOAD}, {words.RESET}")
        if not self._loads:
            raise _BadRequest("this server takes no weights from clients; open it with loads=True, or give it `weights`")
        weights = _weights(request)
        with self._acting:
            try:
                self._policy.load(weights)
            except BadOption as error:
                raise _BadRequest(str(error)) from error
        return {words.VERSION: weights.version}


def _health(connection: ServerConnection, request: Request) -> Response | None:
    return connection.respond(http.HTTPStatus.OK, "OK\n") if request.path == HEALTH else None


class _BadRequest(UserGymError, ValueError):
    """What a client sent means nothing to this server; the client is told, and may go on."""


def _weights(request: Mapping[str, Any]) -> Weights:
    version, spec_hash, arrays = (request.get(name) for name in ("version", "spec_hash", "arrays"))
    named = isinstance(arrays, dict) and all(isinstance(array, np.ndarray) for array in arrays.values())
    if not isinstance(version, int) or not isinstance(spec_hash, str) or not isinstance(arrays, dict) or not named:
        raise _BadRequest("weights without version, spec_hash and arrays by name; allowed: those of a RemotePolicy")
    return Weights(version, arrays, spec_hash)
