"""How everybody who dials reaches a hub: an edge, an operator, a client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from user_gym.errors import BadOption
from user_gym.system.link.identity import credentials
from user_gym.system.link.identity.bundle import Bundle
from user_gym.system.link.stream import transport
from user_gym.system.link.stream.transport import ClientStream, is_loopback


def operators_hub(address: str | None, bundle: Bundle | None) -> str:
    """HOST:PORT as it is said, or else as the bundle says. Raises BadOption: no operator goes off loopback without one."""
    found = address or (bundle.hub if bundle is not None else "")
    if not found or (bundle is None and not is_loopback(found)):
        raise BadOption("bundle of an operator", None, "one that `user-gym hub enroll --operator` made")
    return found


@asynccontextmanager
async def dialled(address: str, bundle: Bundle | None) -> AsyncIterator[ClientStream]:
    """A stream to the hub, with what the bundle proves; closed at the end. Raises PeerLost, NotAdmitted."""
    shown, metadata = (None, ()) if bundle is None else (credentials.of_edge(bundle), credentials.metadata(bundle))
    stream = await transport.dial(address, shown, metadata)
    try:
        yield stream
    finally:
        await stream.close()
