"""A wide-area network on one Linux machine: two network namespaces, and between them a relay of packets that is as bad as it is
told to be. It needs the right to make namespaces; `link.relay` does with TCP what needs none.
"""

from __future__ import annotations

from user_gym.system.link.wan.line import Line
from user_gym.system.link.wan.namespace import Namespace
from user_gym.system.link.wan.wan import Wan, obstacle

__all__ = ["Line", "Namespace", "Wan", "obstacle"]
