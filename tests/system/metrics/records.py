"""A record with something in every field, for the tests of this folder."""

from __future__ import annotations

import math
from dataclasses import replace

from user_gym.system.metrics import BufferRecord, LearnerRecord, RobotRecord, RunRecord, Staleness, State, Wait

LEFT = RobotRecord(
    name="left", robot="franka-fr3", state=State.ACTING, heard=999.5, steps=1200, episodes=13, success_rate=0.75,
    intervention_rate=0.125, faults=1, utilisation=0.98, staleness=1.5,
)  # fmt: skip
RIGHT = replace(
    LEFT, name='ri"g\\ht\n', robot="arx-x5", state=State.GONE, heard=math.nan, steps=0, episodes=0, success_rate=math.nan,
    intervention_rate=math.nan, faults=0, utilisation=math.nan, staleness=math.nan,
)  # fmt: skip


def record(**changes) -> RunRecord:
    """Two robots, the second one gone and with a hostile name."""
    whole = RunRecord(
        run="peg", time=1000.0, elapsed=60.0, env_steps=1200, robots=(LEFT, RIGHT),
        learner=LearnerRecord(updates=4800, rate=80.5, ratio=4.0, version=1200, metrics={"critic_loss": 0.25, "q": math.inf}),
        buffer=BufferRecord(transitions=1500, nbytes=2.0**20, queued=3.0),
        staleness=Staleness((1000, 150, 25, 0, 0, 0, 0, 0, 0, 5), 1200),
        waits=(Wait("left", "learner", 1.25), Wait("learner", "steps", 2.5)),
    )  # fmt: skip
    return replace(whole, **changes)
