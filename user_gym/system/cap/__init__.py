"""The cap: weights are copied beside inference and learning, and take a stated share of the machine. It knows no weights.

A `Copier` moves a flat arena under a limit in multiprocessors or bytes/s; a `Governor` finds the limit at which steps stay
within a budget of slowdown; a `Watch` puts the two together. Copiers that need torch are imported from their own modules:

    persistent.PersistentCopier   one GPU          our kernel on exactly k programs
    nccl.NcclCopier               several GPUs     NCCL with max_ctas = k, 1 .. 32
    engine.EngineCopier           GPU and host     copy engines: no multiprocessor, bytes/s
    broadcast.GlooCopier          processes' CPUs  bytes/s
    memory.MemoryCopier           one host         bytes/s; needs numpy alone
"""

from __future__ import annotations

from user_gym.system.cap.bucket import TokenBucket
from user_gym.system.cap.copier import RATES, Copied, Copier, Unit
from user_gym.system.cap.estimate import Slowdown, slowdown
from user_gym.system.cap.governor import Governed, Governor
from user_gym.system.cap.memory import MemoryCopier
from user_gym.system.cap.watch import Watch

__all__ = [
    "RATES",
    "Copied",
    "Copier",
    "Governed",
    "Governor",
    "MemoryCopier",
    "Slowdown",
    "TokenBucket",
    "Unit",
    "Watch",
    "slowdown",
]
