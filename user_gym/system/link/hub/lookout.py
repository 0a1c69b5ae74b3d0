"""Looks every half second whether everybody who is in may stay, and gives up what nobody comes back for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from user_gym.errors import UserGymError
from user_gym.system.link.hub.caller import Callers
from user_gym.system.link.hub.session import Session
from user_gym.system.link.hub.visitor import Reception
from user_gym.system.link.identity.audit import Audit
from user_gym.system.link.identity.guard import Guard
from user_gym.system.link.identity.spending import Spending

_LOOK = 0.5  # s between two looks
_KEEP = 900.0  # s that what a lost connection left half sent is kept
_log = logging.getLogger(__name__)


class Lookout:
    """On the loop's thread.

    Args:
        sessions: all that there are, by name.
        doors: where others than edges come in.
        guard: knows who may stay; None: everybody.
        audit: notes who was put out.
        spending: is written down now and then.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        doors: Sequence[Reception | Callers],
        guard: Guard | None,
        audit: Audit,
        spending: Spending,
    ) -> None:
        self._sessions, self._doors, self._guard = sessions, doors, guard
        self._audit, self._spending = audit, spending

    async def run(self) -> None:
        """Until it is cancelled. A look that failed is said, and the next one comes: whoever is in stays meanwhile."""
        said = ""
        while True:
            await asyncio.sleep(_LOOK)
            try:
                self._look()
                await asyncio.to_thread(self._spending.keep)
                said = ""
            except (UserGymError, OSError) as error:  # such as a list of members that cannot be read now
                if said != (said := str(error)):
                    _log.error("whether those who are in may stay is not known: %s", error)

    def _look(self) -> None:
        for session in list(self._sessions.values()):
            if self._guard is not None and session.connection is not None and not self._guard.counts(session.member):
                session.put_out()
                self._audit.note("put out", session.name)
            session.forget(time.time() - _KEEP)
        for door in self._doors:
            door.look()
