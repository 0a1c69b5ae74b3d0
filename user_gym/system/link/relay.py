"""A bad network in user space: TCP through a relay that delays, narrows, falls silent, forgets or resets. It knows no protocol.

It needs no rights, so tests and users have it everywhere. What it cannot show is loss of single packets, for the kernel repairs
that on either side of it: a lost packet is a delay here.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread
from typing import NamedTuple

from user_gym.core import real
from user_gym.errors import BadOption

_PIECE = 1 << 14  # bytes read at once: at 20 Mbit/s 7 ms
_ABORT = struct.pack("ii", 1, 0)  # socket(7), SO_LINGER: close sends RST
_TURNS = 5  # of the loop, from the acceptance of a connection until it has a flow


class _Piece(NamedTuple):
    data: bytes  # empty: the side has ended
    due: float  # s, when it comes out


class _Line:
    """One direction, shared by all connections as a cable is."""

    def __init__(self, delay: float, rate: float | None, jitter: float, buffer: float, seed: int) -> None:
        self.delay, self.rate, self.jitter, self.buffer = delay, rate, jitter, buffer
        self.carried = 0  # bytes
        self._free = self._latest = 0.0
        self._rng = random.Random(seed)

    def due(self, nbytes: int, now: float) -> float:
        """When the last of these bytes comes out; order is kept."""
        self._free = max(self._free, now) + (nbytes / self.rate if self.rate else 0.0)
        self._latest = max(self._latest, self._free + self.delay + self._rng.uniform(0.0, self.jitter))
        return self._latest

    @property
    def room(self) -> float:
        """Bytes that one connection may have inside: what the line holds, and the queue before it."""
        return max(2.0 * _PIECE, self.rate * (self.delay + self.jitter + self.buffer)) if self.rate else 1 << 24


class Relay:
    """Listens from `open` to `close`, on a thread of its own. All methods are thread-safe.

    Args:
        target: HOST:PORT that connections lead to.
        delay: s each way.
        rate: bytes per second each way, for all connections together; None: no limit.
        jitter: s; each piece comes up to so much later, evenly drawn, and order is kept.
        buffer: s at `rate` that the queue before the line holds, as that of a router.
        listen: HOST:PORT; port 0: a free one.
        seed: of the jitter.
    """

    def __init__(
        self,
        target: str,
        *,
        delay: float = 0.0,
        rate: float | None = None,
        jitter: float = 0.0,
        buffer: float = 0.2,
        listen: str = "127.0.0.1:0",
        seed: int = 0,
    ) -> None:
        delay, jitter = (real(name, value, 0.0, 60.0, "s, 0..60") for name, value in (("delay", delay), ("jitter", jitter)))
        buffer = real("buffer", buffer, 0.0, 60.0, "s, 0..60")
        if rate is not None:
            rate = real("rate", rate, 1.0, 1e12, "bytes per second, 1 or more, or None")
        self._target, self._listen = _parts(target), _parts(listen)
        self._lines = tuple(_Line(delay, rate, jitter, buffer, seed + k) for k in range(2))
        self._thread = Thread(target=self._serve, name="relay", daemon=True)
        self._ready = Event()
        self._failure: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flows: set[_Flow] = set()
        self._port = 0

    def open(self) -> Relay:
        """Listen. Raises BadOption where nobody can."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise BadOption("listen", ":".join(map(str, self._listen)), "an address of this machine", str(self._failure))
        return self

    def __enter__(self) -> Relay:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """HOST:PORT of this end."""
        return f"{self._listen[0]}:{self._port}"

    @property
    def carried(self) -> tuple[int, int]:
        """Bytes towards the target, and back."""
        return self._lines[0].carried, self._lines[1].carried

    @property
    def connections(self) -> int:
        """That lead through it now."""
        return len(self._flows)

    def cut(self) -> None:
        """Silence: connections stay, and nothing comes through them, nor through new ones, until `restore`."""
        self._do(lambda: self._up.clear())

    def restore(self) -> None:
        """The network is back: what waited goes on."""
        self._do(lambda: self._up.set())

    def reset(self) -> None:
        """Every connection ends on both sides at once, as when a firewall drops its table and answers."""
        self._do(lambda: [flow.reset() for flow in list(self._flows)])

    def halve(self) -> None:
        """Every connection of now is dead and does not know it: what is sent is taken and lost. New ones work."""
        self._do(lambda: [flow.deafen() for flow in list(self._flows)])

    def close(self) -> None:
        """End all connections. May be called twice."""
        if self._thread.is_alive() and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended just now
                self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()

    def _do(self, what: Callable[[], object]) -> None:
        done: Future[None] = Future()

        def call() -> None:
            what()
            done.set_result(None)

        assert self._loop is not None
        self._loop.call_soon_threadsafe(call)
        done.result(5.0)

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._up, self._over = asyncio.Event(), asyncio.Event()
        self._up.set()
        try:
            server = await asyncio.start_server(self._accepted, *self._listen)
        except OSError as error:
            self._failure = error
            self._ready.set()
            return
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        for listener in server.sockets:
            self._loop.remove_reader(listener.fileno())
        for _ in range(_TURNS):  # asyncio would lose the socket of who was accepted just before its server is closed
            await asyncio.sleep(0)
        server.close()
        flows = list(self._flows)
        for flow in flows:
            flow.task.cancel()
        await asyncio.gather(*(flow.task for flow in flows), return_exceptions=True)
        for flow in flows:
            flow.drop()  # what was cancelled before it began has dropped nothing

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flow = _Flow(self._up, self._lines, writer)
        self._flows.add(flow)
        flow.task = asyncio.ensure_future(self._lead(flow, reader, writer))

    async def _lead(self, flow: _Flow, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await flow.run(reader, writer, self._target)
        except* (OSError, asyncio.CancelledError):  # of any of its parts: one side is gone, or all of it ends
            pass
        finally:
            self._flows.discard(flow)
            flow.drop()


class _Flow:
    """One connection through the relay."""

    task: asyncio.Task[None]  # that leads it

    def __init__(self, up: asyncio.Event, lines: tuple[_Line, ...], writer: asyncio.StreamWriter) -> None:
        self._up, self._lines = up, lines
        self._deaf = False
        self._writers = [writer]

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: tuple[str, int]) -> None:
        """Until both sides have ended."""
        await self._up.wait()
        beyond, onward = await asyncio.open_connection(*target)
        self._writers.append(onward)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._carry(self._lines[0], reader, onward))
            both.create_task(self._carry(self._lines[1], beyond, writer))

    def deafen(self) -> None:
        """Take all, pass nothing on."""
        self._deaf = True

    def reset(self) -> None:
        """End it on both sides with RST."""
        for writer in self._writers:
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self.drop()
        self.task.cancel()

    def drop(self) -> None:
        """Let go of both sockets."""
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside: deque[_Piece] = deque()
        changed = asyncio.Event()
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self._take(line, reader, inside, changed))
            ends.create_task(self._give(line, writer, inside, changed))

    async def _take(self, line: _Line, reader: asyncio.StreamReader, inside: deque[_Piece], changed: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._up.wait()
            data = await reader.read(_PIECE)
            inside.append(_Piece(data, line.due(len(data), loop.time())))
            changed.set()
            if not data:
                return
            while sum(len(piece.data) for piece in inside) > line.room:
                changed.clear()
                await changed.wait()

    async def _give(self, line: _Line, writer: asyncio.StreamWriter, inside: deque[_Piece], changed: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not inside:
                changed.clear()
                await changed.wait()
            data, due = inside[0]
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            await self._up.wait()
            inside.popleft()
            changed.set()
            if self._deaf:
                if not data:
                    await asyncio.Event().wait()  # a dead connection does not end either
                continue
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            line.carried += len(data)
            writer.write(data)
            await writer.drain()


def _parts(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise BadOption("address", address, "HOST:PORT")
    return host.strip("[]"), int(port)
