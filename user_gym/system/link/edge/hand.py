"""An operator's hand at a robot of this edge: a `Teleop` whose device is far away. It knows no network.

It acts while orders are fresh: each names the state that the operator had seen, and counts as long as that is no older than
stated, on the clock of this machine alone. So does a slow network let go of the robot, and a lost one at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock

import numpy as np

from user_gym.core import RobotState, TeleopOrder, real, whole
from user_gym.system.link.wire.message import Message
from user_gym.system.link.wire.orders import Seen, age, read_hand, seen_message

LASTING = 0.5  # s
_log = logging.getLogger(__name__)


class RemoteHand:
    """As `core.Teleop`: read by the robot's thread, fed by the link's.

    Args:
        source: of the robot, "EDGE/ROBOT".
        actions: numbers in an action.
        lasting: s that a state may be old to which an order answers; then the policy acts.
        clock: ns, monotonic.

    Attributes:
        by: operator who has the robot; "" nobody.
        late: orders that were too old when the robot asked for one.
    """

    def __init__(
        self, source: str, actions: int, lasting: float = LASTING, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.source, self.actions = source, whole("actions", actions, 1)
        self.lasting = real("lasting", lasting, 0.0, 60.0, "s, 0 .. 60; 0: nobody takes over")
        self._clock, self._lock = clock, Lock()
        self._send: Callable[[Message], None] | None = None
        self._still = TeleopOrder(np.zeros(actions, np.float32), False)
        self._order, self._moment = self._still, -1
        self._verdict = self._still  # what was said since it was asked for, and moves nothing
        self._episode = 0
        self.by, self.late = "", 0

    def take(self, by: str, send: Callable[[Message], None]) -> str:
        """An operator has the robot from now on; why not, or "".

        Args:
            by: who.
            send: to there; called by the robot's thread, waits for nothing.
        """
        if not self.lasting:
            return f"nobody takes over {self.source}: its edge says so"
        self.let_go()
        with self._lock:
            self.by, self._send = by, send
        _log.warning("%s is taken over by %s", self.source, by)
        return ""

    def let_go(self) -> None:
        """Nobody has the robot; also when the connection is lost. May be called twice."""
        with self._lock:
            by, self.by, self._send = self.by, "", None
            self._order, self._verdict, self._moment = self._still, self._still, -1
        if by:
            _log.warning("%s is let go by %s", self.source, by)

    def hear(self, message: Message) -> None:
        """An order came. Raises BadBlock where it is none."""
        hand = read_hand(message)
        if len(hand.order.action) != self.actions:
            _log.error("an order of %s numbers; allowed: %s, for %s", len(hand.order.action), self.actions, self.source)
            return self.let_go()
        with self._lock:
            if not self.by or hand.moment < self._moment:
                return  # it came after all was over, or after a newer one
            self._order, self._moment = hand.order, hand.moment
            before, said = self._verdict, hand.order
            self._verdict = before._replace(
                success=before.success if said.success is None else said.success,
                terminate=before.terminate or said.terminate, rerecord=before.rerecord or said.rerecord,
            )  # fmt: skip

    def connect(self) -> None:
        """As `Teleop`: there is nothing to open."""

    def reset(self) -> None:
        """As `Teleop`: what was said of the episode before is none of this one's."""
        with self._lock:
            self._verdict, self._order, self._episode = self._still, self._still, self._episode + 1

    def read(self, state: RobotState) -> TeleopOrder:
        """As `Teleop`. The operator is shown the state."""
        now = self._clock()
        with self._lock:
            send, episode = self._send, self._episode
            order, verdict = self._order, self._verdict
            fresh = age(self._moment, now) <= self.lasting
            self._verdict = self._still
            self.late += order.active and not fresh
        if send is not None:
            send(seen_message(Seen(self.source, now, episode, state)))
        if not fresh:
            return self._still
        return verdict._replace(action=order.action, active=order.active, source=order.source)

    def close(self) -> None:
        """As `Teleop`: the robot ends, and with it what an operator could do."""
        self.let_go()
