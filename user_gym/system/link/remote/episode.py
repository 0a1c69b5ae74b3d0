"""An episode as its client knows it: what is asked and answered on the way to the robot, and what ended it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import fields
from time import monotonic
from typing import Any

from user_gym.errors import BadBlock, Halted, LinkLost, NotAdmitted, NotReset, PeerLost, RobotFault
from user_gym.system.link.remote import faults
from user_gym.system.link.remote.asks import Ask
from user_gym.system.link.remote.channel import Channel
from user_gym.system.link.remote.form import Tree
from user_gym.system.link.remote.outcome import Step, ended, step_of
from user_gym.system.link.remote.way import Way

_STEP = Ask.STEP  # to name a member of an Enum is a function of Python
_LOST = (PeerLost, NotAdmitted)  # no answer; or one that the lease is over, as of a hub or an edge that was begun anew


class Episode:
    """One after the other, on a way that leads to a robot. For one thread.

    Args:
        way: may have no channel, and get one between two episodes.
        timeout: s that a step may take.
        patience: s that other answers may take.

    Attributes:
        over: why nothing can be stepped; None: it can.
    """

    def __init__(self, way: Way, timeout: float, patience: float) -> None:
        self._way, self._timeout, self._patience = way, timeout, patience
        self.over: Exception | None = NotReset("step, render or state before reset; call env.reset() first")
        self._last: Step | None = None  # newest of this episode
        self._lost: PeerLost | None = None  # while what is asked for was sent
        self._number = 0
        self._records: dict[Ask, Any] = {}

    def ready(self) -> None:
        """Raises what ended it."""
        if self.over is not None:
            raise self.over

    def ask_reset(self, asked: Mapping[str, Any]) -> None:
        """For a new one; what goes wrong with the way there, `heard_reset` says."""
        self._lost = None
        try:
            self._talk.forget()
            self._number = self._talk.ask(Ask.RESET, dict(asked))
        except PeerLost as error:
            self._lost = error

    def heard_reset(self, deadline: float) -> tuple[Any, dict[str, Any]]:
        """Its first observation and info. Raises PeerLost, and what the edge says."""
        if self._lost is not None:
            raise self._lost
        try:
            found, _ = self._talk.hear(Ask.RESET, self._number, max(1e-3, deadline - monotonic()))
        except RobotFault as error:
            self._faulty(error)  # where a person stopped it: told now; the reset after this one leases the robot anew
            raise
        if not isinstance(found, dict) or not isinstance(info := found.get("info"), dict) or "obs" not in found:
            raise BadBlock("answer of an edge to a reset", found, "obs and info")
        self.over = None
        self._records.clear()
        obs = found["obs"]
        self._last = Step(obs, 0.0, False, False, info)
        return obs, info

    def order(self, action: Any) -> None:
        """A step; what goes wrong with the way there, `outcome` says."""
        self._lost = None
        try:
            self._number = self._talk.ask(_STEP, action)
        except PeerLost as error:
            self._lost = error

    def outcome(self, copy: bool) -> Step:
        """Of what was ordered. Raises RobotFault."""
        try:
            if self._lost is not None:
                raise self._lost
            found, _ = self._talk.hear(_STEP, self._number, self._timeout, copy)
        except _LOST as error:
            return self._ended(self.way_lost(error))
        except RobotFault as error:
            self._faulty(error)
            raise
        return self._stepped(found, copy)

    def chunk(self, actions: list[Any]) -> list[Step]:
        """Several steps in one go. Raises RobotFault."""
        try:
            number = self._talk.ask(Ask.CHUNK, actions)
            found, words = self._talk.hear(Ask.CHUNK, number, self._timeout * len(actions))
        except _LOST as error:
            return [self._ended(self.way_lost(error))]
        except RobotFault as error:
            self._faulty(error)
            raise
        if not isinstance(found, list) or not 1 <= len(found) <= len(actions):
            raise BadBlock("answer of an edge to a chunk", found, f"a list of 1..{len(actions)} steps")
        steps = [self._stepped(one, True) for one in found]
        if "fault" in words:
            error = faults.heard(words["fault"])
            if isinstance(error, RobotFault):
                steps.append(self._ended(error))
                self._faulty(error)
        return steps

    def attend(self) -> None:
        """The next step comes late on purpose."""
        if self.over is None and self._way.channel is not None:
            with contextlib.suppress(PeerLost):  # the next step says so
                self._way.channel.ask(Ask.ATTEND, None)

    def record(self, ask: Ask, kind: Any) -> Any:
        """State or scene, asked for once a step. Raises NotReset, LinkLost."""
        if self._last is None:
            raise NotReset("step, render or state before reset; call env.reset() first")
        if ask not in self._records:
            if self._way.channel is None and self.over is not None:
                raise self.over
            self._records[ask] = _record(ask, kind, self.question(ask))
        return self._records[ask]

    def question(self, ask: Ask) -> Tree:
        """And its answer. Raises LinkLost."""
        try:
            found, _ = self._talk.hear(ask, self._talk.ask(ask, None), self._patience)
        except _LOST as error:
            raise self.way_lost(error) from error
        return found

    def way_lost(self, error: PeerLost | NotAdmitted) -> LinkLost:
        """The robot at the end of it holds by itself, and the next reset looks for a way anew."""
        self._way.drop()
        self.over = fault = LinkLost(f"{self._way.name}: {error}; reset() goes on")
        return fault

    @property
    def _talk(self) -> Channel:
        assert self._way.channel is not None
        return self._way.channel

    def _faulty(self, error: RobotFault) -> None:
        """The robot's side said so."""
        self.over = error
        if isinstance(error, Halted):
            self._way.drop()

    def _stepped(self, found: Tree, keep: bool) -> Step:
        step = step_of(found)
        self._records.clear()
        if keep:
            self._last = step
        return step

    def _ended(self, error: RobotFault) -> Step:
        assert self._last is not None
        return ended(self._last, error)


def _record(ask: Ask, kind: Any, found: Tree) -> Any:
    names = [field.name for field in fields(kind)]
    if not isinstance(found, dict) or list(found) != names:
        raise BadBlock(f"answer of an edge to {ask.name}", found, ", ".join(names))
    return kind(**found)
