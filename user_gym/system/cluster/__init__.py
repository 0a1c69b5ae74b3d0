"""A run on a Ray cluster: the same roles as processes of one machine, as actors, each collector where its robot is.

    user-gym run --ray (driver) --watches--> owner of the buffer, learner, a collector per robot <--starts again-- Ray
    collector --blocks--> owner's actor --acknowledgement, room--> collector        (actor calls)
    learner --weights--> shared memory --> owner's actor --differences--> collector (actor calls)

Owner and learner are on the node that the run's folder is on, and speak with each other there as without Ray. All collectors
come in through the owner's actor, wherever they are. Ray's transport is for machines that trust each other: docs/cluster.md.
"""

from __future__ import annotations

from user_gym.errors import MissingExtra

try:
    import ray as _ray
except ImportError as error:
    raise MissingExtra("ray", "ray") from error

from user_gym.system.cluster.driver import Driver
from user_gym.system.cluster.resources import offered

__all__ = ["Driver", "offered"]

del _ray
