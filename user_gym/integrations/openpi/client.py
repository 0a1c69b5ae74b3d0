"""A Policy that asks a server of openpi's websocket protocol: openpi's own, with pi0 behind it, or a `PolicyServer`.

    policy = RemotePolicy("ws://127.0.0.1:8000", convention=LIBERO, prompt="insert the peg", axes=6)
    policy.act(obs).actions                       # (h, 6)

openpi's own client waits for ever and never connects again. Here an answer has `timeout` s, and a connection that is lost is
built anew, with pauses that grow, for `patience` s. A server of ours is sent a number with each request and repeats it, so an
answer that comes too late is never taken for the next one; from any other server, a late answer costs the connection.
"""

from __future__ import annotations

import http.client
import random
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from user_gym.core import ActionChunk, Weights, real, whole
from user_gym.errors import BadBlock, BadOption, MissingExtra, PeerLost
from user_gym.integrations.openpi import words
from user_gym.integrations.openpi.conventions import OURS, Convention
from user_gym.integrations.openpi.packing import pack, unpack
from user_gym.integrations.openpi.server import HEALTH, MOST_BYTES
from user_gym.system.chunked import PROMPT

try:
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidURI
    from websockets.sync.client import ClientConnection, connect
except ImportError as error:
    raise MissingExtra("websockets", "openpi") from error

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0  # s between two attempts to connect: doubled each time, then 50 to 100 % of that
UNSAID = 0  # version of what a server does not say the version of


class RemotePolicy:
    """A policy elsewhere. It connects when it is first needed. Owned by one thread.

    Attributes:
        metadata: what the server said first; empty before.
        spec_hash: of the policy there, where the server is ours; else its address.
        version: of the weights that made the last answer; 0 where the server does not say, -1 before the first.

    Args:
        uri: "ws://host:port", or wss.
        convention: what the server calls things.
        prompt: sent where an observation has none; "": none is sent.
        axes: of the robot's actions; of longer ones, as pi0's are, the first are taken. None: all.
        timeout: s for an answer.
        patience: s for a connection, all attempts together.
        api_key: sent as openpi's client does.
        pause: waits so many seconds.

    Raises:
        BadOption: an option has a value that is not allowed.
    """

    def __init__(
        self,
        uri: str,
        *,
        convention: Convention = OURS,
        prompt: str = "",
        axes: int | None = None,
        timeout: float = 10.0,
        patience: float = 30.0,
        api_key: str | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        if not isinstance(uri, str) or urlsplit(uri).scheme not in ("ws", "wss") or not urlsplit(uri).hostname:
            raise BadOption("uri", uri, "'ws://host:port' or 'wss://host:port'")
        self.uri, self.spec_hash, self.version = uri, uri, -1
        self.metadata: Mapping[str, Any] = {}
        self._convention, self._prompt = convention, prompt
        self._axes = None if axes is None else whole("axes", axes, 1)
        self._timeout = real("timeout", timeout, 0.001, 3600.0, "0.001 .. 3600 s")
        self._patience = real("patience", patience, 0.0, 86400.0, "0 .. 86400 s")
        self._headers = {} if api_key is None else {"Authorization": f"Api-Key {api_key}"}
        self._pause = pause
        self._connection: ClientConnection | None = None
        self._tags = 0
        self._ours = False

    def open(self) -> None:
        """Connect now, rather than at the first request. Raises PeerLost, BadBlock."""
        if self._connection is None:
            self._connect()

    def close(self) -> None:
        """Disconnect. May be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> RemotePolicy:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def reset(self, seed: int | None = None) -> None:
        """As `core.Policy.reset`; another server than ours is not told of episodes. Raises PeerLost."""
        self.open()
        if self._ours:
            self._ask({words.ORDER: words.RESET, "seed": seed})

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        """As `core.Policy.act`.

        Raises:
            PeerLost: the server does not answer, cannot be reached, or its policy failed; its own words are in the message.
            BadOption: the server does not take this observation, or answers with no chunk of actions.
            BadBlock: what it answers is no message.
        """
        self.open()
        told: dict[str, NDArray[Any]] = {**obs}
        if self._prompt:
            told.setdefault(PROMPT, np.array(self._prompt))
        message = self._convention.there(told)
        answer = self._ask(message | {words.DETERMINISTIC: deterministic} if self._ours else message)
        actions = self._convention.chunk(answer, self._axes)
        version = answer.get(words.VERSION, UNSAID)
        self.version = version if isinstance(version, int) else UNSAID
        extra = {name.removeprefix(words.EXTRA): value for name, value in answer.items() if name.startswith(words.EXTRA)}
        return ActionChunk(actions, self.version, extra)

    def load(self, weights: Weights) -> None:
        """Send weights to the server, which must be ours and take them. Raises BadOption, PeerLost."""
        self.open()
        if not self._ours:
            raise BadOption("server", self.uri, "a PolicyServer with loads=True", "openpi's own takes no weights")
        arrays = {name: np.asarray(array) for name, array in weights.arrays.items()}
        order = {words.ORDER: words.LOAD, "version": weights.version, "spec_hash": weights.spec_hash, "arrays": arrays}
        self._ask(order)
        self.version = weights.version

    def healthy(self, timeout: float = 5.0) -> bool:
        """Whether the server answers at all, by its /healthz."""
        place = urlsplit(self.uri)
        kind = http.client.HTTPSConnection if place.scheme == "wss" else http.client.HTTPConnection
        asked = kind(place.hostname or "", place.port, timeout=timeout)
        try:
            asked.request("GET", HEALTH)
            return asked.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The answer. A request whose connection was lost is sent again: it asks, and changes nothing twice."""
        self._tags += 1
        data = pack({**message, words.TAG: self._tags} if self._ours else message)
        lost = 0
        while True:
            self.open()
            assert self._connection is not None
            try:
                self._connection.send(data)
                return self._answer(self._connection)
            except ConnectionClosed as error:
                self.close()
                lost += 1
                if lost == 3:  # that it answers others and closes at this one is no matter of the network
                    raise PeerLost(f"{self.uri} closed the connection {lost} times at the same request: {error}") from error

    def _answer(self, connection: ClientConnection) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                data = connection.recv(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                if not self._ours:
                    self.close()  # what comes late would be taken for the answer to the next request
                raise PeerLost(f"{self.uri} did not answer within {self._timeout:g} s; give it more `timeout`") from None
            if isinstance(data, str):
                self.close()  # openpi's server closes after an error, and then this is the sooner
                raise PeerLost(f"the policy at {self.uri} failed:\n{data}")
            try:
                answer = unpack(data)
            except BadBlock:
                self.close()
                raise
            if self._ours and answer.pop(words.TAG, self._tags) != self._tags:
                continue  # to a request that was given up
            if words.ERROR in answer:
                raise BadOption("request", "of this policy", f"what the policy at {self.uri} takes", str(answer[words.ERROR]))
            return answer

    def _connect(self) -> None:
        """Build the connection, and hear what the server says first."""
        deadline, longest = time.monotonic() + self._patience, FIRST_PAUSE
        while True:
            try:
                self._connection = self._dial(deadline)
                return
            except (OSError, InvalidHandshake, InvalidMessage, ConnectionClosed) as error:  # OSError: TimeoutError as well
                left = deadline - time.monotonic()
                if left <= 0:
                    raise PeerLost(
                        f"no policy server at {self.uri} for {self._patience:g} s: {error}; is it running?"
                    ) from error
                self._pause(min(left, longest * random.uniform(0.5, 1.0)))  # many robots do not all come back at once
                longest = min(LONGEST_PAUSE, 2.0 * longest)
            except InvalidURI as error:
                raise BadOption("uri", self.uri, "'ws://host:port' or 'wss://host:port'") from error

    def _dial(self, deadline: float) -> ClientConnection:
        connection = connect(
            self.uri,
            legacy=True,  # a connection that outlives this function
            compression=None,
            max_size=MOST_BYTES,
            additional_headers=self._headers,
            proxy=None,
            open_timeout=max(0.1, min(self._timeout, deadline - time.monotonic())),
            # openpi's server answers no ping while its policy thinks; how long it may think is said by `timeout`.
            ping_interval=None,
            close_timeout=1.0,
        )
        try:
            data = connection.recv(self._timeout)
            if isinstance(data, str):
                raise BadBlock("first frame of a policy server", data, "its metadata, a map in msgpack")
            self.metadata = unpack(data)
        except BaseException:
            connection.close()
            raise
        self._ours = self.metadata.get(words.OURS) == words.PROTOCOL
        said = self.metadata.get("spec_hash")
        self.spec_hash = said if self._ours and isinstance(said, str) else self.uri
        return connection
