"""Numbers what a publisher publishes, and holds it to one policy."""

from __future__ import annotations

from user_gym.core import whole
from user_gym.errors import BadOption


class Numbering:
    """Versions that only grow.

    Args:
        version: the last one before; -1 for none.

    Attributes:
        version: the last one.
    """

    def __init__(self, version: int) -> None:
        self.version = whole("version", version, -1)
        self._spec_hash: str | None = None

    def next(self, spec_hash: str, version: int | None, partial: bool = False) -> int:
        """What the next publication is to be: `version`, or one up. Raises BadOption; also if the first one is `partial`."""
        if partial and self._spec_hash is None:
            cure = "publish all of them once, as after each start: nothing is there yet that the others could be taken from"
            raise BadOption("partial", partial, "False in the first publication", cure)
        if self._spec_hash is not None and spec_hash != self._spec_hash:
            raise BadOption("spec_hash", spec_hash, repr(self._spec_hash), "a publisher is of one policy; make another one")
        if version is None:
            return self.version + 1
        return whole("version", version, self.version + 1, f"a whole number above {self.version}, the last one")

    def set(self, version: int, spec_hash: str) -> None:
        """It is published."""
        self.version, self._spec_hash = version, spec_hash
