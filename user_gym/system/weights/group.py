"""Weights inside a cluster, by torch.distributed: one rank broadcasts, the others receive. The same code runs on gloo and NCCL.

Only who imports this module needs torch (extra "train"). Call both ends from a thread of their own: a broadcast waits for
every rank, so a learner publishes to a `Broadcaster` or to shared memory, and a `Relay` takes the newest from there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from user_gym.core import real
from user_gym.errors import BadOption, MissingExtra, PeerLost
from user_gym.system.weights.blob import Blob, Held
from user_gym.system.weights.encoder import Encoder

try:
    import torch
    import torch.distributed as distributed
except ImportError as error:
    raise MissingExtra("torch", "train") from error

from user_gym.system.cap.broadcast import BroadcastCopier

_END = -1  # said instead of a number of bytes


class Group:
    """Carries blobs from one rank to all others of a process group.

    Args:
        group: of torch.distributed; None: the default one. With NCCL's `max_ctas` among its options, it keeps to so many of
            the GPU's multiprocessors.
        source: rank, in the default group, that sends.
        device: where NCCL takes the bytes from, such as "cuda:0"; "cpu" for gloo.
        timeout: s that a rank waits for another: for the next version as well.
        copier: carries the bytes under its cap, between all ranks; open it at each of them first. Then `group` is None,
            `source` the copier's root, and the copier's own timeout counts.

    Raises:
        BadOption: torch.distributed is not initialised, this rank is not in the group, or the copier is for other ranks.
    """

    def __init__(
        self,
        group: Any = None,
        *,
        source: int = 0,
        device: str = "cpu",
        timeout: float = 300.0,
        copier: BroadcastCopier | None = None,
    ) -> None:
        if not distributed.is_initialized():
            raise BadOption("group", group, "a process group", "call torch.distributed.init_process_group first")
        if distributed.get_rank(group) < 0:
            raise BadOption("group", group, "one that this rank is in")
        if copier is not None and (group is not None or copier.root != source):
            raise BadOption("copier", f"of all ranks, from rank {copier.root}", f"no group of its own, and source {source}")
        self._group, self._source, self._device, self._copier = group, source, torch.device(device), copier
        self._timeout = timedelta(seconds=real("timeout", timeout, 1e-3, 1e6, "1e-3 .. 1e6 s"))
        self._space = torch.empty(0, dtype=torch.uint8, device=self._device)
        self._held: Held | None = None

    @property
    def sends(self) -> bool:
        """Whether this rank is the source."""
        return distributed.get_rank() == self._source

    def share(self, encoder: Encoder) -> bool:
        """Bring all other ranks to the encoder's newest weights; whether that took a blob. Raises as `send` and the encoder."""
        blob = encoder.blob(self._held)
        if blob is None:
            return False
        self.send(blob)
        self._held = Blob.parse(blob).held
        return True

    def send(self, blob: bytes) -> None:
        """To all other ranks; it returns when they have it.

        Raises:
            BadOption: on another rank.
            PeerLost: a rank is gone or silent.
            Closed: the copier is.
        """
        self._require(True)
        self._say(len(blob))
        here = torch.from_numpy(np.frombuffer(bytearray(blob), np.uint8)).to(self._device)
        if self._copier is None:
            self._share(here)
        else:
            self._copier.copy(here, None)

    def receive(self) -> bytes | None:
        """The next blob of the source, waiting for it; None once it has ended. Raises as `send`; BadOption on the source."""
        self._require(False)
        nbytes = self._say(0)
        if nbytes == _END:
            return None
        if len(self._space) < nbytes:
            self._space = torch.empty(nbytes, dtype=torch.uint8, device=self._device)
        if self._copier is None:
            self._share(self._space[:nbytes])
        else:
            self._copier.copy(None, self._space[:nbytes])
        return self._space[:nbytes].cpu().numpy().tobytes()

    def end(self) -> None:
        """Tell all other ranks that no more comes. Raises as `send`."""
        self._require(True)
        self._say(_END)

    def _say(self, number: int) -> int:
        """The source's number, at every rank."""
        if self._copier is not None:
            return self._copier.tell(number)
        said = torch.tensor([number], dtype=torch.int64, device=self._device)
        self._share(said)
        return int(said.item())

    def _share(self, tensor: torch.Tensor) -> None:
        try:
            work = distributed.broadcast(tensor, self._source, self._group, async_op=True)
            if work is not None:
                work.wait(self._timeout)
        except RuntimeError as error:  # torch's word for a peer that is gone or silent
            raise PeerLost(
                f"a rank of the group is gone or was silent for {self._timeout.total_seconds()} s: {error}"
            ) from error

    def _require(self, sends: bool) -> None:
        if self.sends != sends:
            raise BadOption("rank", distributed.get_rank(), f"{self._source} sends, the others receive")
