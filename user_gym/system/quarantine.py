"""Episode after episode with a robot that may fail: it is left alone for a while, longer each time, and tried again.

It knows no process and no network.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from threading import Event

from user_gym.errors import Busy, Halted, NoRobot, NotApproved, RobotFault, Unreachable
from user_gym.system.collector import Collector

_BACK_OFF = 0.5, 60.0  # s of quarantine after the first fault, doubled with each that follows, up to
_OF_THE_ROBOT = (RobotFault, Busy, NoRobot, NotApproved, Unreachable)  # it, or a person, may mend these meanwhile


def endure(
    collector: Collector,
    stop: Event,
    over: Callable[[], bool],
    rest: Callable[[float], None],
    told: Callable[[str], None],
    steps: int = sys.maxsize,
) -> None:
    """Collect until `stop` is set, nothing more is needed, or the collector has so many steps. Other errors than faults pass.

    Args:
        collector: made with max_faults=1.
        stop: set when it is to end.
        over: whether nothing more is needed.
        rest: waits so many seconds, shorter when `stop` is set or it is over.
        told: hears what becomes of the robot: "collects", or why it rests.
        steps: as of `Collector.run`.
    """
    pause, completed = _BACK_OFF[0], collector.completed
    while not (stop.is_set() or over() or collector.env_steps >= steps):
        told("collects")
        try:
            collector.run(stop, steps)
            return
        except Halted as error:  # nothing that happens by itself may move it again
            told(f"halted by a person: {error}")
            rest(math.inf)
        except _OF_THE_ROBOT as error:
            if collector.completed > completed:  # the robot was well in between
                pause, completed = _BACK_OFF[0], collector.completed
            told(f"quarantined for {pause} s: {error}")
            rest(pause)
            pause = min(2 * pause, _BACK_OFF[1])
