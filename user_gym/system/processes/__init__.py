"""A run as processes of one machine, each of which may die: owner of the buffer, learner, a collector per robot, supervisor.

    parent (user-gym run) --starts again--> supervisor --starts again--> owner, learner, collectors
    collector --blocks--> owner --acknowledgement, room--> collector          (Unix socket)
    learner --updates done--> owner --updates allowed--> learner              (Unix socket)
    buffer's files --> learner --weights--> collectors                        (shared memory)
    edges ==link==> hub --blocks--> owner; learner --weights--> hub           (robots elsewhere)

docs/processes.md says what survives what.
"""

from __future__ import annotations

from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.plan import AgentPlan, BufferPlan, CollectorPlan, FreshnessPlan, HubPlan, Plan, from_words

__all__ = ["AgentPlan", "BufferPlan", "CollectorPlan", "FreshnessPlan", "HubPlan", "Plan", "RunFolder", "from_words"]
