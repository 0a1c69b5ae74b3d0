"""Hubs and edges that only greet each other, over real sockets on loopback: what the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from user_gym.errors import NotAdmitted, PeerLost
from user_gym.system.link.identity import credentials
from user_gym.system.link.identity.bundle import Bundle
from user_gym.system.link.identity.guard import Guard
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.stream import transport
from user_gym.system.link.stream.loop import Loop
from user_gym.system.link.stream.transport import ServerStream

TIMEOUT = 20.0  # s


def folder_of(path: Path) -> HubFolder:
    return HubFolder(path / "hub")


@contextmanager
def listening(folder: HubFolder | None, hosts=("127.0.0.1",), mutual=True) -> Iterator[str]:
    """A hub that says each caller's name and sends back what it is told; yields its address."""
    guard = None if folder is None else Guard(folder, mutual)

    async def connected(context) -> None:
        try:
            name = guard.admit(context).name if guard else "anybody"
        except NotAdmitted as error:
            return await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        await context.send_initial_metadata(())
        stream = ServerStream(context)
        await stream.write(name.encode())
        try:
            while True:
                await stream.write(await stream.read())
        except PeerLost:
            return

    loop = Loop.borrow()
    try:
        shown = None if folder is None else credentials.of_hub(folder.authority(), hosts, mutual)

        async def begin():
            return await transport.serve("127.0.0.1:0", shown, connected)

        server, port = loop.start(begin()).result(TIMEOUT)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            loop.start(server.stop(None)).result(TIMEOUT)
    finally:
        loop.give_back()


def greeted(address: str, bundle: Bundle | None, shown: grpc.ChannelCredentials | None = None) -> str:
    """What a hub calls an edge. Raises PeerLost, NotAdmitted."""
    metadata = () if bundle is None else credentials.metadata(bundle)
    if shown is None and bundle is not None:
        shown = credentials.of_edge(bundle)

    async def visit() -> str:
        stream = await transport.dial(address, shown, metadata)
        try:
            name = await stream.read()
            await stream.write(b"echo")
            assert await stream.read() == b"echo"
            return name.decode()
        finally:
            await stream.close()

    loop = Loop.borrow()
    try:
        return loop.start(visit()).result(TIMEOUT)
    finally:
        loop.give_back()
