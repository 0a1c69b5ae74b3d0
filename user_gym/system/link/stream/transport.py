"""gRPC: one bidirectional stream of bytes, as either end has it, and how an edge gets one. It knows no message."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cache
from typing import Any

from user_gym.errors import BadOption, MissingExtra, NotAdmitted, PeerLost
from user_gym.system.link.wire.fragments import MOST

try:
    import grpc
    from grpc import aio
except ImportError as error:
    raise MissingExtra("grpcio", "link") from error

_MOST_PORT = 65535
SERVICE, METHOD = "user_gym.Link", "Connect"
_END = 1.0  # s that the reason of an end may come later than the end
_STAGGER, _ATTEMPTS = 1.0, 5  # s until another attempt begins beside those that still try; at most so many
_COMMON = [
    ("grpc.max_receive_message_length", MOST),  # of a fragment: refused before memory is taken
    ("grpc.max_send_message_length", MOST),
]
_CLIENT = [
    *_COMMON,
    ("grpc.use_local_subchannel_pool", 1),  # a connection each, also for several edges of one process
    ("grpc.enable_retries", 0),  # a connection that is lost is resumed by us, not repeated
]
_SERVER = [
    *_COMMON,
    ("grpc.so_reuseport", 0),  # two hubs on one port are an error, not a lottery
    ("grpc.server_handshake_timeout_ms", 10_000),  # who connects and says nothing is not waited for
    ("grpc.max_concurrent_streams", 4),  # on one connection; an edge has one
]
# What gRPC says of a hub's certificate -> what a person can do. Where it words it otherwise, the cure is left out.
_CURES = {
    "unable to get local issuer": "this bundle is of another hub: ask for one of this hub (user-gym hub enroll)",
    "Hostname Verification Check failed": "the hub's certificate does not name this host: user-gym hub --host HOST adds it",
}
_NOT_ADMITTED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def is_loopback(address: str) -> bool:
    """Whether "HOST:PORT" is this machine, by the numbers of its host, or by the name localhost."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ServerStream:
    """A hub's end, inside the handler of one call."""

    def __init__(self, context: aio.ServicerContext[Any, Any]) -> None:
        self._context = context

    async def read(self) -> bytes:
        """As `Stream.read`."""
        try:
            data = await self._context.read()
        except (aio.BaseError, asyncio.InvalidStateError) as error:
            raise PeerLost(f"the edge is gone: {error}") from error
        if not isinstance(data, bytes):
            raise PeerLost("the edge has closed the connection")
        return data

    async def write(self, data: bytes) -> None:
        """As `Stream.write`."""
        try:
            await self._context.write(data)
        except (aio.BaseError, asyncio.InvalidStateError) as error:
            raise PeerLost(f"the edge is gone: {error}") from error


class ClientStream:
    """An edge's end."""

    def __init__(self, channel: aio.Channel, call: aio.StreamStreamCall[bytes, bytes]) -> None:
        self._channel, self._call = channel, call
        self._status: tuple[grpc.StatusCode, str | None] | None = None
        call.add_done_callback(self._keep_status)

    def _keep_status(self, _: object) -> None:
        """Of the call's end, the first that there is: a write that fails later replaces it by its own (grpc issue 36066)."""
        self._status = _at_once(self._call.code()), _at_once(self._call.details())

    async def read(self) -> bytes:
        """As `Stream.read`."""
        try:
            data = await self._call.read()
        except aio.AioRpcError as error:
            raise _explained(*(self._status or (error.code(), error.details()))) from error
        if not isinstance(data, bytes):
            raise PeerLost("the hub has closed the connection")
        return data

    async def write(self, data: bytes) -> None:
        """As `Stream.write`."""
        try:
            await self._call.write(data)
        except (aio.AioRpcError, asyncio.InvalidStateError) as error:
            # A write that fails knows nothing of why; the end of the call, which is on its way, does.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._call.code(), _END)
            if self._status is not None and self._status[0] is not grpc.StatusCode.OK:
                raise _explained(*self._status) from error
            raise PeerLost(f"the hub has closed the connection: {error}") from error

    async def close(self) -> None:
        """Let go of the connection. May be called twice."""
        self._call.cancel()
        await self._channel.close()


def _at_once(answer: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that has nothing to wait for."""
    try:
        answer.send(None)
    except StopIteration as returned:
        return returned.value
    raise RuntimeError("a call that has ended does not know how")


@cache
def _stay() -> None:
    """Keep gRPC's machinery of this process, once it is there.

    It would end with its last channel, which happens between two attempts to dial, and wait on this thread until all sockets
    are done: with one whose network is gone that takes the kernel many minutes, and meanwhile nobody dials.
    """
    aio.init_grpc_aio()  # pyright: ignore[reportAttributeAccessIssue] - in its __all__, not in its stubs


async def dial(
    address: str, credentials: grpc.ChannelCredentials | None, metadata: Sequence[tuple[str, str]] = ()
) -> ClientStream:
    """The first of several attempts that gets through.

    After an outage the attempt that was under way waits for its packets to be sent again, which the kernel does later and
    later; so another one begins every second, and what fails at once, as where nobody listens, fails here at once.

    Args:
        address: HOST:PORT.
        credentials: None: no TLS.
        metadata: who this is.

    Raises:
        PeerLost: the hub is not reached.
        NotAdmitted: it does not let us in.
    """
    _stay()
    attempts: set[asyncio.Task[ClientStream]] = set()
    try:
        for _ in range(_ATTEMPTS):
            attempts.add(asyncio.ensure_future(_attempt(address, credentials, metadata)))
            done, _ = await asyncio.wait(attempts, timeout=_STAGGER, return_when=asyncio.FIRST_COMPLETED)
            if done:
                winner = done.pop()
                stream = winner.result()
                attempts.remove(winner)
                return stream
        raise PeerLost(f"hub {address} did not answer for {_STAGGER * _ATTEMPTS} s")
    finally:
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*(_abandoned(attempt) for attempt in attempts))


async def _attempt(
    address: str, credentials: grpc.ChannelCredentials | None, metadata: Sequence[tuple[str, str]]
) -> ClientStream:
    # A proxy that the machine uses for the world is none for itself.
    options = [*_CLIENT, ("grpc.enable_http_proxy", int(not is_loopback(address)))]
    if credentials is None:
        channel = aio.insecure_channel(address, options=options)
    else:
        channel = aio.secure_channel(address, credentials, options=options)
    connect = channel.stream_stream(f"/{SERVICE}/{METHOD}")
    stream = ClientStream(channel, connect(metadata=aio.Metadata(*metadata)))
    try:
        await stream._call.wait_for_connection()
    except aio.AioRpcError as error:
        await stream.close()
        raise _explained(error.code(), error.details()) from error
    except asyncio.CancelledError:
        await stream.close()
        raise
    return stream


async def _abandoned(attempt: asyncio.Task[ClientStream]) -> None:
    (result,) = await asyncio.gather(attempt, return_exceptions=True)
    if isinstance(result, ClientStream):  # it got through at the same moment
        await result.close()


def _explained(code: grpc.StatusCode, details: str | None) -> PeerLost | NotAdmitted:
    if code in _NOT_ADMITTED:
        return NotAdmitted(details or "the hub does not say why")
    cure = next((f"; {cure}" for words, cure in _CURES.items() if words in (details or "")), "")
    return PeerLost(f"no connection to the hub: {details or code.name}{cure}")


async def serve(
    address: str,
    credentials: grpc.ServerCredentials | None,
    connected: Callable[[aio.ServicerContext[Any, Any]], Awaitable[None]],
) -> tuple[aio.Server, int]:
    """Listen.

    Args:
        address: HOST:PORT; port 0: a free one.
        credentials: None: no TLS.
        connected: serves one connection until it returns.

    Returns:
        The server, and its port.

    Raises:
        BadOption: nobody can listen there.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _MOST_PORT:  # gRPC would take what is left of it by 65536
        raise BadOption("address of a hub", address, f"HOST:PORT, port 0..{_MOST_PORT}; 0: a free one")
    _stay()
    server = aio.server(options=_SERVER, maximum_concurrent_rpcs=None)

    async def connect(_: object, context: aio.ServicerContext[Any, Any]) -> None:
        await connected(context)

    handler = grpc.stream_stream_rpc_method_handler(connect)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    try:
        port = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise BadOption(
            "address of a hub", address, "HOST:PORT of this machine that nobody else listens at", str(error)
        ) from error
    await server.start()
    return server, port
