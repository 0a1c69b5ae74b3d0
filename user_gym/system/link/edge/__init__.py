"""The robot's side: what waits on its disk, one connection that it dials, and weights for its policy."""

from __future__ import annotations

from user_gym.system.link.edge.edge import Edge
from user_gym.system.link.edge.spool import Spool

__all__ = ["Edge", "Spool"]
