"""Streams as a robot's devices give them, at full rate and resolution: kept where they arise, and lent to who asks by episode.

    RawSource -> Recorder -> Archive <- FETCH ... RAW -> the hub's Archive <- the same -> an operator's Archive

What an agent learns from, the training group, goes to the hub by itself; this, the raw group, stays. docs/localisation.md.
"""

from __future__ import annotations

from user_gym.system.link.raw.archive import Archive
from user_gym.system.link.raw.recorder import Recorder

__all__ = ["Archive", "Recorder"]
