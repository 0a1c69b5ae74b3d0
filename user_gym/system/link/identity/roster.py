"""A hub's books of who may come in, in one JSON file: no secret is in it, and whoever is struck off is out at once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from user_gym.errors import NotAdmitted, UnknownName, WrongRun
from user_gym.system.link.identity import names
from user_gym.system.link.identity.quota import UNLIMITED, Quota

NAME = "roster.json"
FORMAT = 1
EDGE, OPERATOR, CLIENT = "edge", "operator", "client"
ROLES = (EDGE, OPERATOR, CLIENT)


@dataclass(frozen=True, slots=True)
class Member:
    """One who was enrolled."""

    name: str
    # "edge": sends its own experience, gets weights; "operator": sees all edges, may stop them; "client": steps their robots
    role: str
    certificate: str  # SHA-256 of it, hexadecimal
    token: str  # SHA-256 of it, hexadecimal; 256 random bits need no slower hash
    issued: float  # s since the epoch
    expires: float  # s since the epoch
    revoked: float | None = None  # s since the epoch
    edges: tuple[str, ...] = ()  # of an operator: whose robots it may take over; empty: all
    quota: Quota = UNLIMITED  # of an edge


def hashed(token: str) -> str:
    """As in `Member.token`."""
    return hashlib.sha256(token.encode()).hexdigest()


class Roster:
    """The books in a file, which several processes may change. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[Any, Mapping[str, Member]] | None = None

    def members(self) -> Mapping[str, Member]:
        """All, by name; as the file says now. Raises WrongRun where it is damaged."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return {}
        stamp = found.st_ino, found.st_mtime_ns, found.st_size
        read = self._read
        if read is None or read[0] != stamp:
            read = self._read = stamp, _parsed(self._path)
        return read[1]

    def admit(self, certificate: str | None, token: str | None, now: float) -> Member:
        """Who this is.

        Args:
            certificate: fingerprint of the one that TLS has verified; None: the hub asks for none.
            token: what it says its token is.
            now: s since the epoch.

        Raises:
            NotAdmitted: nobody that may come in.
        """
        digest = hashed(token or "")
        member = next((m for m in self.members().values() if secrets.compare_digest(m.token, digest)), None)
        if token is None or member is None:
            raise NotAdmitted("this hub knows no such token; ask its operator for a new bundle (user-gym hub enroll)")
        if certificate is not None and not secrets.compare_digest(member.certificate, certificate):
            raise NotAdmitted(f"certificate and token belong to different members; the token is that of {member.name!r}")
        if member.revoked is not None:
            raise NotAdmitted(f"{member.name!r} was revoked; ask the hub's operator for a new bundle")
        if now >= member.expires:
            raise NotAdmitted(f"the bundle of {member.name!r} has expired; ask the hub's operator for a new one")
        return member

    def counts(self, member: Member, now: float) -> bool:
        """Whether somebody who was admitted still is."""
        return self.members().get(member.name) == member and now < member.expires

    def enter(self, member: Member) -> None:
        """Write one in, in the place of who had the name. Raises Unwritable."""
        with self._changing() as members:
            members[member.name] = member

    def give(self, name: str, quota: Quota) -> None:
        """An edge may bring so much from now on. Raises UnknownName."""
        with self._changing() as members:
            if name not in members:
                raise UnknownName("member of this hub", name, members)
            members[name] = replace(members[name], quota=quota)

    def revoke(self, name: str, now: float) -> None:
        """Strike one off. Raises UnknownName."""
        with self._changing() as members:
            if name not in members:
                raise UnknownName("member of this hub", name, members)
            members[name] = replace(members[name], revoked=now)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Member]]:
        """The members, to be changed; one process at a time, and the file is whole at every moment."""
        try:
            lock = os.open(self._path.with_name(f"{NAME}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise WrongRun(f"{self._path.parent} is no folder of a hub; `user-gym hub enroll` makes one") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            members = dict(self.members())
            yield members
            aside = self._path.with_name(f"{NAME}.tmp")
            words = {"format": FORMAT, "members": [asdict(member) for member in members.values()]}
            with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
                json.dump(words, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, self._path)
        finally:
            os.close(lock)


def _member(row: dict[str, Any]) -> Member:
    edges, quota = tuple(row.get("edges", ())), Quota(**row.get("quota", {}))
    return Member(**{**row, "edges": edges, "quota": quota})


def _parsed(path: Path) -> dict[str, Member]:
    try:
        words = json.loads(path.read_text())
        if words["format"] != FORMAT:
            raise ValueError(f"format {words['format']}, known: {FORMAT}")
        members = [_member(row) for row in words["members"]]
    except (ValueError, KeyError, TypeError) as error:
        raise WrongRun(f"{path} is no list of members: {error}; restore it from a copy, or enroll all edges anew") from error
    for member in members:
        names.checked("name of a member", member.name)
    return {member.name: member for member in members}
