"""Which client has which robot: the one table for all hosts. It knows no network, and its clock is handed to it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from user_gym.errors import Busy, Halted, NotAdmitted, UserGymError

GRACE = 10.0  # s that a client may be away until its robots are free for others
_MOST_OVER = 1000  # leases that are remembered with why they ended
_AFRESH = "reset() asks for a robot anew"


@dataclass(slots=True)
class Lease:
    """One robot, for one client."""

    id: str  # 32 hexadecimal digits: who knows it, and is the client, may step the robot
    robot: str  # "EDGE/ROBOT"
    client: str  # that has it, "NAME#INSTANCE"
    place: str  # the client's word for what it needs it for: it has one robot for each
    since: float  # s since the epoch
    away: float | None = None  # s, monotonic: since then the client is gone; None: it is here
    under_way: int = 0  # orders that are not answered

    @property
    def edge(self) -> str:
        """Whose robot it is."""
        return self.robot.partition("/")[0]

    @property
    def name(self) -> str:
        """Of the robot at its edge."""
        return self.robot.partition("/")[2]


class Leases:
    """Owned by one thread."""

    def __init__(self) -> None:
        self._of_robot: dict[str, Lease] = {}
        self._by_id: dict[str, Lease] = {}
        self._over: dict[str, UserGymError] = {}

    @property
    def table(self) -> Mapping[str, Lease]:
        """By robot."""
        return dict(self._of_robot)

    def grant(self, robots: Iterable[str], client: str, place: str, now: float) -> Lease:
        """The first of these robots that is free, for this client. What it had in this place ends.

        Args:
            robots: "EDGE/ROBOT" each; one or more.
            client: who wants it.
            place: see `Lease`.
            now: s since the epoch.

        Raises:
            Busy: others have all of them; it says who.
        """
        before = [lease for lease in self._of_robot.values() if (lease.client, lease.place) == (client, place)]
        taken: list[str] = []
        for robot in robots:
            holder = self._of_robot.get(robot)
            if holder is None or holder in before:
                for lease in before:
                    self.end(lease, NotAdmitted(f"{client} has leased a robot anew in the place of this lease"))
                lease = Lease(secrets.token_hex(16), robot, client, place, now)
                self._of_robot[robot] = self._by_id[lease.id] = lease
                return lease
            away = f" (away; free in {GRACE:g} s unless it comes back)" if holder.away is not None else ""
            taken.append(f"{robot} by {holder.client}{away}")
        raise Busy(f"no robot is free: leased {', '.join(taken)}; wait, or end that client")

    def adopt(self, robot: str, id: str, client: str, now: float, away: float | None) -> None:
        """A robot that a client had before this hub was begun: it may come back to it, where nobody else has it since.

        Args:
            robot: as an edge says, like id and client.
            id: see `robot`.
            client: see `robot`.
            now: s since the epoch.
            away: s, monotonic, since when the client is; None: it is here.
        """
        if robot not in self._of_robot and id not in self._by_id and id not in self._over:
            self._of_robot[robot] = self._by_id[id] = Lease(id, robot, client, "", now, away)

    def of(self, id: str, client: str) -> Lease:
        """A lease of this client. Raises NotAdmitted, or why it ended."""
        lease = self._by_id.get(id)
        if lease is not None and lease.client == client:
            return lease
        if lease is None and id in self._over:
            raise self._over[id]
        raise NotAdmitted(f"{client} has no such lease; {_AFRESH}")

    def by_id(self, id: str) -> Lease | None:
        """Whoever has it."""
        return self._by_id.get(id)

    def end(self, lease: Lease, why: UserGymError) -> None:
        """The robot is free; who still uses the lease is told why."""
        if self._by_id.pop(lease.id, None) is None:
            return
        del self._of_robot[lease.robot]
        self._over[lease.id] = why
        while len(self._over) > _MOST_OVER:
            del self._over[next(iter(self._over))]

    def stopped(self, edges: Iterable[str], by: str) -> list[Lease]:
        """A person stopped these edges: nobody steps their robots before a lease that begins after it. Those that ended."""
        ended = [lease for lease in self._of_robot.values() if lease.edge in set(edges)]
        for lease in ended:
            self.end(lease, Halted(f"{lease.robot} was stopped by {by}; look at it; {_AFRESH}"))
        return ended

    def left(self, client: str, now: float) -> list[Lease]:
        """A client's connection is gone; now is monotonic. Its leases."""
        mine = [lease for lease in self._of_robot.values() if lease.client == client]
        for lease in mine:
            lease.away = now
        return mine

    def back(self, client: str) -> None:
        """It is here again."""
        for lease in self._of_robot.values():
            if lease.client == client:
                lease.away = None

    def expired(self, now: float) -> list[Lease]:
        """Those of clients that are gone for longer than GRACE; now is monotonic. They are free."""
        ended = [lease for lease in self._of_robot.values() if lease.away is not None and now - lease.away > GRACE]
        for lease in ended:
            self.end(lease, NotAdmitted(f"{lease.client} was gone for more than {GRACE} s; {_AFRESH}"))
        return ended
