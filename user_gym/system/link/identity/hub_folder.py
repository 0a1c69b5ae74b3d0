"""The folder of a hub's identity: its authority, its books and its diary. Made by the first enrolment."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from user_gym.errors import BadOption, Unwritable
from user_gym.system.link.identity import audit, authority, names, roster
from user_gym.system.link.identity.authority import Authority
from user_gym.system.link.identity.bundle import Bundle
from user_gym.system.link.identity.quota import UNLIMITED, Quota
from user_gym.system.link.identity.roster import Member
from user_gym.system.link.identity.spending import Spending

MOST_PORT = 65535
DAYS = 365.0  # that a bundle is good for


class HubFolder:
    """Paths, and what is in them.

    Args:
        path: of the folder; it may not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.roster = roster.Roster(path / roster.NAME)
        self.audit = audit.Audit(path / audit.NAME)

    def authority(self) -> Authority:
        """Raises WrongRun where there is none yet."""
        return Authority.load(self.path)

    def enroll(
        self,
        name: str,
        hub: str,
        *,
        days: float = DAYS,
        role: str = roster.EDGE,
        renew: bool = False,
        edges: Sequence[str] = (),
        quota: Quota = UNLIMITED,
    ) -> Bundle:
        """A bundle for an edge, which may come in from now on. The first one also makes the hub's authority.

        Args:
            name: of the edge.
            hub: HOST:PORT under which the edge reaches the hub.
            days: until it expires.
            role: see `Member.role`.
            renew: it takes the place of the bundle that this name has; that one is of no use from now on.
            edges: of an operator: whose robots it may take over; none: all.
            quota: of an edge.

        Raises:
            BadOption: the name has a bundle already, or is none.
            Unwritable: the folder may not be written, or others can read it.
        """
        names.checked("name of an edge", name)
        if role not in roster.ROLES:
            raise BadOption("role", role, " or ".join(roster.ROLES))
        host, _, port = hub.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= MOST_PORT:
            raise BadOption("address of the hub", hub, f"HOST:PORT under which the edge reaches it, port 1..{MOST_PORT}")
        self._make()
        known = self.roster.members().get(name)
        if known is not None and known.revoked is None and not renew:
            raise BadOption("name of an edge", name, "one that has no bundle", "revoke it first, or renew it (--renew)")
        mine = Authority.load(self.path) if authority.exists(self.path) else Authority.create(self.path)
        issued, token = mine.for_edge(name, days), secrets.token_urlsafe(32)
        self.roster.enter(Member(
            name, role, issued.fingerprint, roster.hashed(token), time.time(), issued.expires,
            edges=tuple(names.checked("edge of an operator", edge) for edge in edges), quota=quota,
        ))  # fmt: skip
        self.audit.note("enrolled", name, role=role, expires=issued.expires, renewed=known is not None)
        texts = (mine.pem.decode(), issued.certificate.decode(), issued.key.decode())
        return Bundle(name, hub, *texts, token, issued.expires)

    def give(self, name: str, quota: Quota) -> None:
        """An edge has this quota from now on; if it is in, it comes in anew. Raises UnknownName."""
        self.roster.give(name, quota)
        self.audit.note("given a quota", name, **asdict(quota))

    def spending(self) -> Spending:
        """What each edge has brought. Raises WrongRun."""
        return Spending(self.path / "spent.json")

    def revoke(self, name: str) -> None:
        """An edge may come in no more; one that is in is put out within a second. Raises UnknownName."""
        self.roster.revoke(name, time.time())
        self.audit.note("revoked", name)

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unwritable(f"folder {self.path} of a hub cannot be made: {error}") from error
        mode = os.stat(self.path).st_mode & 0o777
        if mode & 0o022:
            raise Unwritable(f"{self.path} may be written by others (mode {mode:03o}); allowed: 700; chmod 700 {self.path}")
