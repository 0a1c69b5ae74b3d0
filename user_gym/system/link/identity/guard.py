"""Decides at a hub's door who a caller is. It lets in whoever the books say may come in, and notes everybody who is not."""

from __future__ import annotations

import time
from typing import Any

from user_gym.errors import MissingExtra, NotAdmitted
from user_gym.system.link.identity.credentials import fingerprint_of, token_of
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.identity.roster import Member

try:
    from grpc import aio
except ImportError as error:
    raise MissingExtra("grpcio", "link") from error


class Guard:
    """Of a hub that listens with TLS.

    Args:
        folder: with its books.
        mutual: a caller needs a certificate besides its token.
    """

    def __init__(self, folder: HubFolder, mutual: bool) -> None:
        self._folder, self._mutual = folder, mutual

    def admit(self, context: aio.ServicerContext[Any, Any]) -> Member:
        """Who calls. Raises NotAdmitted, and notes it."""
        fingerprint = fingerprint_of(context) if self._mutual else None
        try:
            if self._mutual and fingerprint is None:
                raise NotAdmitted("this hub asks for a certificate, and there is none")
            return self._folder.roster.admit(fingerprint, token_of(context), time.time())
        except NotAdmitted as error:
            self._folder.audit.note("turned away", context.peer(), why=str(error))
            raise

    def counts(self, member: Member) -> bool:
        """Whether somebody who is in may stay."""
        return self._folder.roster.counts(member, time.time())
