"""A client's way to one robot: the connection to its hub, the lease, and the best channel there is."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from user_gym.system.link.remote import leasing
from user_gym.system.link.remote.channel import Channel, reach
from user_gym.system.link.remote.uplink import Uplink, borrow, give_back


class Way:
    """From `claim` to `leave`; after `drop`, and after what was raised, `claim` may be called again. For one thread.

    Args:
        hub, bundle, client: as of RemoteEnv.
        edge: "EDGE", "EDGE/ROBOT" or "": any.
        ids: any of these environments will do.
        options: of the environment, for its edge.
        wanted: "auto", or a kind of channel.

    Attributes:
        uplink: None before the first `claim`.
        lease: that this client has; "": none.
        robot: "EDGE/ROBOT" that it is for; "": none.
        channel: None where there is none.
    """

    def __init__(
        self,
        hub: Any,
        bundle: str | os.PathLike[str] | None,
        client: str | None,
        edge: str,
        ids: Sequence[str],
        options: Mapping[str, Any],
        wanted: str,
    ) -> None:
        self._where = {"hub": hub, "bundle": None if bundle is None else os.fspath(bundle), "name": client}
        self._edge, self._ids, self._options, self._wanted = edge, ids, options, wanted
        self._place = secrets.token_hex(8)
        self.uplink: Uplink | None = None
        self.channel: Channel | None = None
        self.lease = self.robot = ""

    @property
    def name(self) -> str:
        """Where it leads, for messages."""
        return self.robot or self._edge or "edge"

    def claim(self, deadline: float, also_spaces: bool) -> dict[str, Any]:
        """Connect, and lease a robot: what its edge says of the environment. Raises PeerLost, Busy, NotAdmitted."""
        self.drop()
        if self.uplink is None:
            self.uplink = borrow(**self._where)
        self.uplink.connect(deadline)
        self.lease, self.robot, said = leasing.lease(
            self.uplink, edge=self._edge, ids=self._ids, place=self._place, options=self._options, spaces=also_spaces,
            deadline=deadline,
        )  # fmt: skip
        return said

    def reach(self, door: Any) -> None:
        """The best channel to the robot that was leased; `door` is what its edge says. Raises PeerLost."""
        assert self.uplink is not None
        self.channel = reach(self.uplink, self.lease, door, self._wanted)

    def drop(self) -> None:
        """The channel; the lease stays."""
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.close()

    def release(self) -> None:
        """The lease, if there is one."""
        lease, self.lease, self.robot = self.lease, "", ""
        if lease and self.uplink is not None:
            leasing.release(self.uplink, lease)

    def leave(self) -> None:
        """All of it."""
        self.drop()
        self.release()
        uplink, self.uplink = self.uplink, None
        if uplink is not None:
            give_back(uplink)
