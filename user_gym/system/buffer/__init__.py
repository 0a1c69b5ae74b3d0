"""Experience that is kept: blocks of bytes, files of blocks, what is in them, and drawing from it. It knows no learner."""

from __future__ import annotations

from user_gym.system.buffer.buffer import Buffer

__all__ = ["Buffer"]
