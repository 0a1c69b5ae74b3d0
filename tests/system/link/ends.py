"""Two connections, one at either end of a real socket, and what came at each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from threading import Condition
from typing import Any

from user_gym.errors import PeerLost
from user_gym.system.link.relay import Relay
from user_gym.system.link.stream import transport
from user_gym.system.link.stream.connection import Connection
from user_gym.system.link.stream.loop import Loop
from user_gym.system.link.stream.transport import ServerStream
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import FROM_EDGE, FROM_HUB
from user_gym.system.link.wire.message import Message

TIMEOUT = 20.0  # s
_GLANCE = 0.005  # s


class End:
    """One side: keeps what comes, and says how it ended."""

    def __init__(self, limits: Any) -> None:
        self.assembly = Assembly(limits)
        self.connection: Connection | None = None
        self.came: list[tuple[Message, float]] = []
        self.ended: BaseException | str | None = None
        self.changed = Condition()

    async def deliver(self, message: Message) -> None:
        with self.changed:
            self.came.append((message, time.monotonic()))
            self.changed.notify_all()
        if message.kind is Kind.BYE:
            assert self.connection is not None
            self.connection.close()

    async def run(self, stream: Any, **options: Any) -> None:
        self.connection = Connection(stream, self.assembly, self.deliver, **options)
        self.ended = None
        with self.changed:
            self.changed.notify_all()
        try:
            await self.connection.run()
            self.ended = "closed"
        except (PeerLost, asyncio.CancelledError, Exception) as error:
            self.ended = error
        with self.changed:
            self.changed.notify_all()

    def wait(self, ready: Callable[[], bool], timeout: float = TIMEOUT) -> None:
        """Until something is so; looked at when something came, and often, for not all is told."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while not ready():
                assert time.monotonic() < deadline, f"after {timeout} s: {len(self.came)} came, ended {self.ended!r}"
                self.changed.wait(_GLANCE)

    def of(self, kind: Kind) -> list[Message]:
        return [message for message, _ in self.came if message.kind is kind]


class Ends:
    """A hub's and an edge's end, through a relay. `connect` may be called again after a loss."""

    def __init__(
        self, hub_options: dict[str, Any] | None = None, edge_options: dict[str, Any] | None = None, **network: Any
    ) -> None:
        self.hub, self.edge = End(FROM_EDGE), End(FROM_HUB)
        self._hub_options, self._edge_options = hub_options or {}, edge_options or {}
        self._network = network
        self._running: Any = None

    def __enter__(self) -> Ends:
        self._loop = Loop.borrow()

        async def begin() -> Any:
            return await transport.serve("127.0.0.1:0", None, self._accepted)

        self._server, port = self._loop.start(begin()).result(TIMEOUT)
        self.relay = Relay(f"127.0.0.1:{port}", **self._network).open()
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._loop.start(self._server.stop(None)).result(TIMEOUT)
        self.relay.close()
        self._loop.give_back()

    def connect(self) -> None:
        """Dial, as an edge does; what is torn is resumed."""
        self.hub.connection = None

        async def visit() -> None:
            stream = await transport.dial(self.relay.address, None)
            try:
                await self.edge.run(stream, torn=self.hub.assembly.torn, **self._edge_options)
            finally:
                await stream.close()

        self._running = self._loop.start(visit())
        self.edge.wait(lambda: self.edge.connection is not None and self.edge.ended is None)
        self.hub.wait(lambda: self.hub.connection is not None)

    def close(self) -> None:
        """The edge leaves."""
        if self.edge.connection is not None:
            self._loop.soon(self.edge.connection.close)
        self._running.result(TIMEOUT)

    def send(self, end: End, *arguments: Any, **options: Any) -> None:
        assert end.connection is not None
        self._loop.soon(lambda connection: connection.send(*arguments, **options), end.connection)

    def leave(self, end: End, message: Message) -> None:
        assert end.connection is not None
        self._loop.start(end.connection.leave(message)).result(TIMEOUT)

    async def _accepted(self, context: Any) -> None:
        await context.send_initial_metadata(())
        await self.hub.run(ServerStream(context), torn=self.edge.assembly.torn, **self._hub_options)
