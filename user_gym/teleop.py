"""Several hands at one robot: who acts when more than one wants to. Knows no device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from user_gym.core import RobotState, Teleop, TeleopOrder
from user_gym.errors import BadOption


class FirstActive:
    """A Teleop of several: the first that is active acts, and everybody's verdict counts.

    The order's `source` says who acts: `info["intervention_source"]` of every step in which one does. Of several verdicts
    on success the first one's counts; one wish to end or drop the episode is enough.

    Args:
        teleops: by name, the one that matters most first: {"keyboard": ..., "spacemouse": ..., "expert": ...}. A scripted
            expert is always active, so it comes last.

    Raises:
        BadOption: there are none.
    """

    def __init__(self, teleops: Mapping[str, Teleop]) -> None:
        if not teleops:
            raise BadOption("teleops", dict(teleops), "at least one, by name")
        self._teleops = dict(teleops)

    def connect(self) -> None:
        """Open all devices; where one does not open, all are closed again and its error is raised."""
        with ExitStack() as undo:
            for teleop in self._teleops.values():
                undo.callback(teleop.close)
                teleop.connect()
            undo.pop_all()

    def reset(self) -> None:
        """A new episode begins, for all."""
        for teleop in self._teleops.values():
            teleop.reset()

    def read(self, state: RobotState) -> TeleopOrder:
        """The order of the first that is active, or of the first; all are read, so that no old press waits in one."""
        orders = [(name, teleop.read(state)) for name, teleop in self._teleops.items()]
        acting, order = next(((name, order) for name, order in orders if order.active), ("", orders[0][1]))
        return order._replace(
            success=next((o.success for _, o in orders if o.success is not None), None),
            terminate=any(o.terminate for _, o in orders),
            rerecord=any(o.rerecord for _, o in orders),
            source=acting,
        )

    def close(self) -> None:
        """Release all devices, whatever another one raises. May be called twice."""
        with ExitStack() as stack:
            for teleop in self._teleops.values():
                stack.callback(teleop.close)
