"""The receiving end of a link: keeps the newest weights that came, and hands them to a policy between two steps."""

from __future__ import annotations

import numpy as np

from user_gym.core import Weights
from user_gym.errors import BadBlock
from user_gym.system.weights.arena import Arena
from user_gym.system.weights.blob import Blob, Held, Kind
from user_gym.system.weights.encoding import apply_changes, read_full
from user_gym.system.weights.image import Image, require_finite


class Receiver:
    """A `Subscriber` fed with blobs. `apply` belongs to one thread, a link's; `newest` to another, a policy's.

    Args:
        spec_hash: of the policy; blobs of others are refused. None: of whatever comes first.
        finite: refuse weights with a NaN or an infinity in them.
    """

    def __init__(self, spec_hash: str | None = None, *, finite: bool = False) -> None:
        self._spec_hash, self._finite = spec_hash, finite
        self._arena: Arena | None = None
        self._now: tuple[Held, bytes, Weights, Image] | None = None  # one assignment hands all of it over
        self._given: Held | None = None

    @property
    def held(self) -> Held | None:
        """What an encoder has to be told; None before the first blob."""
        now = self._now
        return None if now is None else now[0]

    def apply(self, data: bytes | memoryview) -> int:
        """Decode a blob and make its weights the newest; the version that is held then. On any error the ones before stay.

        A blob that comes late, or twice, changes nothing.

        Raises:
            BadBlock: the bytes are damaged, or a difference to something else than what is held; ask again, saying what is.
            BadOption: they are of another policy, or, with `finite`, not finite.
            MissingExtra: they are pressed with zstd.
        """
        blob, now = Blob.parse(data), self._now
        if now is not None and blob.held.lineage == now[0].lineage and blob.held.version <= now[0].version:
            return now[0].version
        if blob.kind is Kind.FULL:
            layout, spec_hash = read_full(blob, self._spec_hash)
            if self._arena is None or self._arena.layout.words != layout.words:
                self._arena = Arena(layout)
            slot = self._arena.free()
            np.copyto(slot.memory, np.frombuffer(blob.payload, np.uint8))
        else:
            if now is None or self._arena is None or now[:2] != (Held(blob.held.lineage, blob.base), blob.digest):
                cure = "ask for a difference to that, or for full weights"
                raise BadBlock("base of a difference", blob.base, f"what is held: {now and now[0].version}", cure=cure)
            slot, spec_hash = self._arena.free(), now[2].spec_hash
            apply_changes(blob, now[3], slot.memory)
        image = slot.lend()
        if self._finite:
            require_finite(image, blob.held.version)
        self._spec_hash = spec_hash
        self._now = blob.held, blob.digest, Weights(blob.held.version, image, spec_hash), image
        return blob.held.version

    def newest(self, than: int = -1) -> Weights | None:
        """As `Subscriber.newest`."""
        now = self._now
        if now is None or (now[2].version <= than and (self._given is None or now[0].lineage == self._given.lineage)):
            return None
        self._given = now[0]
        return now[2]
