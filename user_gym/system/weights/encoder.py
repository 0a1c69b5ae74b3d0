"""The sending end of a link: what each receiver needs to have the newest weights, made once for all who need the same.

It encodes in the thread that asks, which is a link's, never the learner's.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from user_gym.core import Weights, whole
from user_gym.system.weights.arena import Arena
from user_gym.system.weights.blob import Held, Kind
from user_gym.system.weights.choice import Choice
from user_gym.system.weights.encoding import changes, full
from user_gym.system.weights.ends import Subscriber
from user_gym.system.weights.image import Image, require_finite
from user_gym.system.weights.layout import Layout
from user_gym.system.weights.press import check


class Encoder:
    """Blobs for any number of receivers and threads.

    Args:
        source: where weights come from; used by this encoder alone. Wrap it in `Narrowed` for policies that act in bfloat16.
        history: most versions kept that a receiver may have, and a difference be made to; each is memory of the source's.
        press: "zstd" (extra of that name) or "zlib" (always there; three times slower). Receivers undo either.
        finite: refuse weights with a NaN or an infinity in them; the version before stays the newest.
        clock: s, monotonic.

    Attributes:
        encoded: blobs made so far, and not for how many they were.

    Raises:
        BadOption: an option that is not allowed.
        MissingExtra: for `press`.
    """

    def __init__(
        self,
        source: Subscriber,
        *,
        history: int = 4,
        press: str = "zstd",
        finite: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._source, self._press, self._finite, self._clock = source, check(press), finite, clock
        self._history = whole("history", history, 1)
        self._lineage = os.urandom(16)
        self._newest: tuple[Weights, Image] | None = None
        self._seen = -1  # version taken from the source last, also one that was refused
        self._kept: OrderedDict[int, Image] = OrderedDict()  # version -> what receivers may have, the latest used last
        self._made: dict[int, bytes] = {}  # base, or -1 -> blob of the newest
        self._choice = Choice()
        self._one_at_a_time = Lock()
        self.encoded = 0

    def blob(self, held: Held | None = None, rate: float | None = None) -> bytes | None:
        """What a receiver needs to have the newest weights; None if it has them, or there are none yet.

        Args:
            held: what it says it has (`Receiver.held`); None: nothing. What it has missed is seen here: it gets a full one.
            rate: of the link to it, bytes per second (`LinkRate.value`); None: not known.

        Raises:
            BadOption: with `finite`, the source's new weights are not; what came before can be asked for again.
        """
        with self._one_at_a_time:
            self._look()
            if self._newest is None:
                return None
            weights, image = self._newest
            base = -1
            if held is not None and held.lineage == self._lineage:
                if held.version == weights.version:
                    return None
                if held.version in self._kept:
                    base = held.version
                    self._kept.move_to_end(base)
            if base != -1 and self._choice.pick(image.layout.nbytes, image.layout.narrow, rate) is Kind.FULL:
                base = -1
            if base not in self._made:
                self._made[base] = self._make(weights, image, base)
            return self._made[base]

    def _look(self) -> None:
        weights = self._source.newest(self._seen)
        if weights is None:
            return
        restarted, self._seen = weights.version <= self._seen, weights.version
        arrays = weights.arrays
        image = arrays if isinstance(arrays, Image) else _copied(weights)
        if self._finite:
            require_finite(image, weights.version)
        if restarted or (self._newest is not None and self._newest[1].layout.words != image.layout.words):
            self._lineage = os.urandom(16)  # the same version may be other weights now
            self._kept.clear()
        self._newest = weights, image
        self._kept[weights.version] = image
        while len(self._kept) > self._history:
            self._kept.popitem(last=False)
        self._made.clear()

    def _make(self, weights: Weights, image: Image, base: int) -> bytes:
        held = Held(self._lineage, weights.version)
        self.encoded += 1
        whole = full(image, weights.spec_hash, held)
        if base == -1:
            return whole.pack()
        began = self._clock()
        made = changes(self._kept[base], image, weights.spec_hash, held, base, self._press)
        self._choice.learn(image.layout.narrow, len(made.payload), self._clock() - began)
        return (made if made.nbytes < whole.nbytes else whole).pack()


def _copied(weights: Weights) -> Image:
    layout = Layout.of(weights.arrays)
    slot = Arena(layout).free()
    slot.fill(weights.arrays, weights.version, None)
    return slot.lend()
