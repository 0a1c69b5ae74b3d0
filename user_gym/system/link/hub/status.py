"""How an edge is, as its hub sees it: one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from user_gym.system.link.machine import Machine


@dataclass(frozen=True, slots=True)
class EdgeStatus:
    """One edge that is or was connected since the hub was opened."""

    name: str
    role: str
    connected: bool
    since: float  # s since the epoch: of the connection, or of its loss
    address: str  # as the hub sees it
    host: str  # as the edge calls itself
    round_trip: float | None  # s
    version: int  # of the weights it has; -1: none
    blocks: int  # stored
    steps: int  # stored
    repeated: int  # blocks that were stored already, and were not stored again
    refused: int  # blocks
    received: int  # bytes on the present connection
    complaint: str  # why it does not take the weights, or why it was cut off last; "" where all is well
    facts: Mapping[str, Any]  # what it says of itself in its beats
    left: bool  # it said goodbye
    machine: Machine  # its robots and devices
