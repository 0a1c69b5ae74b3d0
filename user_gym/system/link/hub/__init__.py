"""The learner's side: who is in, what they bring, and what they are given."""

from __future__ import annotations

from user_gym.system.link.hub.hub import Hub
from user_gym.system.link.hub.store import BufferStore, Room, Store

__all__ = ["BufferStore", "Hub", "Room", "Store"]
