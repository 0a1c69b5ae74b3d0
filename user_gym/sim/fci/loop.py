"""The one thread of an FCI twin: it owns sockets and physics, and decides when the next tick passes.

In a motion that is not paced, state n goes out, the command that answers n is awaited and applied, one tick passes, and state
n+1 goes out: nothing depends on the wall's time. Commands that answer an older state, as they occur at a motion's start, are
dropped. A frozen gate repeats state n, so that the client's time-out of 1 s never comes.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Any

import numpy as np

from user_gym.core import RobotSpec, Task
from user_gym.robots.wire import fci_gripper
from user_gym.robots.wire.fci import GRIPPER, GRIPPER_PORT, ROBOT, ROBOT_PORT, TICK, Outcome, Version
from user_gym.sim.bodies import held_width
from user_gym.sim.fci.calls import Calls
from user_gym.sim.fci.faults import Faults
from user_gym.sim.fci.fingers import MovedFingers
from user_gym.sim.fci.gate import Gate, Progress, check
from user_gym.sim.fci.hand import PERIOD, Hand
from user_gym.sim.fci.jobs import Jobs
from user_gym.sim.fci.motion import Motion, Motions
from user_gym.sim.fci.port import ClientPort
from user_gym.sim.fci.state import State

REPEAT = 0.2  # s after which a frozen state is sent again; the client gives up after 1 s
FIRST = 0.02  # s that a client has to answer a motion's second state before it gets a third
SPIN = 300e-6  # s of looking for a command without sleeping: 20 % more ticks per second than select alone
IDLE = 0.05  # s between two looks at the sockets while nobody is connected
LOOK = 16  # ticks between two looks at the TCP sockets while commands flow
LATE = 0.02  # s behind the wall's clock after which a paced twin gives up catching up
_log = logging.getLogger(__name__)


class Loop:
    """Serves one arm.

    Args:
        version: of the robot server.
        spec: the arm.
        task: whose objects stand around it.
        address: IP address.
        mode: as `Gate` takes it.
        friction, lost_cycles: as `Motions` takes them.
        model: gives the client's model.
        lock: held while physics moves.
    """

    def __init__(
        self,
        version: Version,
        spec: RobotSpec,
        task: Task,
        address: str,
        mode: str,
        friction: float | None,
        lost_cycles: bool,
        model: Callable[[], bytes],
        lock: threading.RLock,
    ) -> None:
        self.gate, self.faults = Gate(mode), Faults()
        self._version, self._lock = version, lock
        self.motions = Motions(version, spec, task, friction, lost_cycles, lambda *reply: self._calls.reply(*reply))
        self._state = State(version)
        self.motions.settles = mode != "paced"
        self._calls = Calls(
            version, self.motions, model, lambda *reply: self._robot.answer(*reply), lambda: self._state.configure(self.motions)
        )
        self._robot = ClientPort(address, ROBOT_PORT, ROBOT, version.number, self._calls.serve, self._arrive, self._leave)
        body = self.motions.body
        fingers = MovedFingers(body, lambda: self.motions.motion is None) if body.plant.fingers else None
        self.hand = Hand(spec.gripper, held_width(task), lambda *reply: self._gripper.answer(*reply), fingers)
        self._gripper = ClientPort(
            address, GRIPPER_PORT, GRIPPER, fci_gripper.VERSION, self.hand.serve, self._hand_arrives, self._hand_leaves
        )
        self._client: tuple[str, int] | None = None
        self._hand_client: tuple[str, int] | None = None
        self._number = 0  # message_id of the last state
        self._before = 0  # message_id of the last state before the motion
        self._sent = 0.0  # s, monotonic, when it was sent
        self._next = self._hand_next = self._hand_last = 0.0
        self._command: np.void | None = None  # the one that answers the last state
        self._heard = False  # whether a command came since the motion began
        self._begun = 0  # states sent since then
        self._since_look = 0
        self._motion: Motion | None = None  # the one that these count for
        self._jobs = Jobs()
        self._thread = threading.Thread(target=self._run, name=f"fci twin {address}", daemon=True)

    def open(self) -> None:
        """Listen, and start the thread. Raises BadOption."""
        try:
            self._robot.open()
            self._gripper.open()
        except BaseException:
            self._jobs.closing = True
            self._end()
            self._jobs.close()
            raise
        self._state.configure(self.motions)
        self._next = self._hand_next = self._hand_last = monotonic()
        self._thread.start()

    def post(self, job: Callable[[], Any]) -> Future[Any]:
        """Have something done by the twin's thread, between two ticks. Raises RobotFault where it closes."""
        return self._jobs.post(job)

    def advance(self, ticks: int, patience: float) -> Future[Progress]:
        """Open the gate for so many ticks; in the twin's thread only."""
        return self.gate.order(ticks, monotonic() + patience, self.motions.ended)

    def close(self) -> None:
        """Stop the thread and hang up. May be called twice."""
        if self._jobs.closing:
            return
        self._jobs.closing = True
        self._jobs.wake()
        self._thread.join(5.0)
        self._jobs.close()

    def _run(self) -> None:
        try:
            while not self._jobs.closing:
                self._turn()
        except Exception:
            _log.exception("the FCI twin ends: a bug of ours")
            raise
        finally:
            self._end()

    def switch(self, mode: str) -> None:
        """Let time pass in another way, from now on; in the twin's thread only. Raises BadOption."""
        self.gate.mode = check(mode)
        self.motions.settles = mode != "paced"
        self._next = monotonic()

    def _turn(self) -> None:
        motion = self.motions.motion
        if motion is not self._motion:
            self._motion, self._command, self._heard, self._begun, self._sent = motion, None, False, 0, 0.0
            self._before = self._number
            self.faults.begin()
        now = monotonic()
        if motion is not None and self.gate.mode != "paced":
            self._follow(now)
            self._hand_last = now
        else:
            self._keep_pace(now)
        self._settle(now)

    def _settle(self, now: float) -> None:
        self.gate.settle(self.motions.word, self.motions.ended, self._command is not None, now)

    def _follow(self, now: float) -> None:
        """In the client's time: a tick, if its command is there and the gate is open; else a wait for what is missing."""
        if self._command is None:
            self._receive(SPIN)
        if self._command is not None and self.gate.open:
            command, self._command = self.faults.carry(self._command), None
            with self._lock:
                self.motions.follow(command)
            self.gate.passed()
            self.hand.advance(TICK)
            self._send()
            self._since_look += 1
            if self._since_look >= LOOK:
                self._wait(0.0)
            return
        # Until the first command the numbers go on: the client leaves its start with one state and answers the next.
        first = not self._heard and self._command is None
        due = self._sent + ((TICK if self._begun < 2 else FIRST) if first else REPEAT)
        if now >= due:
            self._send(again=not first)
            due = now + TICK
        self._settle(now)  # before the wait, or every advance would last as long as that
        self._wait(due - now, commands=self._command is None)

    def _keep_pace(self, now: float) -> None:
        """Ticks by the wall's clock; without pace, only the states go on."""
        self.hand.advance(now - self._hand_last)
        self._hand_last = now
        if now >= self._next:
            if self.gate.mode == "paced":
                self._paced_tick()
                self._next = max(self._next + TICK, now - LATE)
            else:
                self._next = now + (TICK if self._client else IDLE)
            self._send()
        self._wait(self._next - monotonic())

    def _paced_tick(self) -> None:
        moving = self.motions.motion is not None
        if moving:
            self._receive(0.0)
        command, self._command = self._command, None
        with self._lock:
            if moving and self._heard:
                self.motions.follow(self.faults.carry(command))
            else:
                self.motions.rest()

    def _receive(self, spin: float) -> None:
        """Look for the command that answers the last state, for so many s without sleeping."""
        udp, until = self._robot.udp, 0.0
        if udp is None or self.faults.dead:
            return
        while True:
            try:
                data, sender = udp.recvfrom(512)
            except BlockingIOError:
                now = monotonic()
                if until == 0.0:
                    until = now + spin
                if now >= until:
                    return
                continue
            if sender != self._client or len(data) != self._version.command.itemsize:
                continue
            command = np.frombuffer(data, self._version.command)[0]
            if command["message_id"] <= self._before:
                continue  # of a motion before: its client was late, and has not been heard in this one
            self._heard = True
            if command["message_id"] == self._number:
                self._command = command
                return

    def _send(self, again: bool = False) -> None:
        """The state of now under the next number, or the last one again."""
        self._sent = monotonic()
        if not again:
            self._number += 1
            self._begun += 1
        if self._client is None or self.faults.dead:
            return
        state = self._state.bytes if again else self._state.write(self._number, self.motions)
        self._robot.datagram(state, self._client)

    def _wait(self, timeout: float, commands: bool = False) -> None:
        """Serve TCP, the side door and the gripper's states; at most so many s."""
        self._since_look = 0
        now = monotonic()
        if self._hand_client is not None and now >= self._hand_next:
            self._hand_next = now + PERIOD
            if not self.faults.dead:
                self._gripper.datagram(self.hand.state(), self._hand_client)
        sockets: list[socket.socket] = [self._jobs.woken]
        if not self.faults.dead:
            sockets += [*self._robot.sockets, *self._gripper.sockets]
            if commands and self._robot.udp is not None:
                sockets.append(self._robot.udp)
        ready, _, _ = select.select(sockets, [], [], max(0.0, min(timeout, PERIOD)))
        if self._jobs.woken in ready:
            self._jobs.woken.recv(4096)
        with self._lock:
            self._robot.handle(ready)
            self._gripper.handle(ready)
            self._jobs.do()

    def _arrive(self, place: tuple[str, int]) -> None:
        self._client, self._next = place, 0.0
        self._send()

    def _leave(self) -> None:
        """The client is gone: the arm comes to rest."""
        self._client = None
        self.motions.end(Outcome.ABORTED)

    def _hand_arrives(self, place: tuple[str, int]) -> None:
        self._hand_client, self._hand_next = place, 0.0

    def _hand_leaves(self) -> None:
        self._hand_client = None
        self.hand.leave()

    def _end(self) -> None:
        self._robot.close()
        self._gripper.close()
        self.gate.cancel()
        self._jobs.refuse()
