"""What a link is like for a robot: episodes of one that costs nothing but time, through a network as bad as asked for."""

from __future__ import annotations

from user_gym.system.link.trial.paced import PacedCameras, Still
from user_gym.system.link.trial.trial import Network, Report, Trial

__all__ = ["Network", "PacedCameras", "Report", "Still", "Trial"]
