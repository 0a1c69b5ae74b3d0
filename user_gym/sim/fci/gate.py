"""How many ticks a gated FCI twin may still pass, and who waits for them. It knows neither sockets nor physics."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

from user_gym.errors import BadOption, RobotFault

MODES = ("gated", "lockstep", "paced")
MAX_TICKS = 1_000_000
Progress = tuple[int, str]  # ticks done, what the motion says


@dataclass(slots=True, eq=False)
class _Order:
    """An `advance` that is under way."""

    ticks: int
    deadline: float  # s, of time.monotonic
    ended: int  # motions that had ended when it came
    done: int = 0
    answer: Future[Progress] = field(default_factory=Future)


class Gate:
    """The mode, and the order that is under way. All methods are for the twin's own thread.

    Args:
        mode: one of MODES.
    """

    def __init__(self, mode: str) -> None:
        self.mode = check(mode)
        self._order: _Order | None = None

    @property
    def open(self) -> bool:
        """Whether the next tick may pass."""
        if self.mode != "gated":
            return True
        return self._order is not None and self._order.done < self._order.ticks

    def order(self, ticks: int, deadline: float, ended: int) -> Future[Progress]:
        """Let so many ticks pass. Raises RobotFault where the twin is not gated, or another order is under way; BadOption."""
        if self.mode != "gated":
            raise RobotFault(f"the twin is {self.mode}; advance needs mode 'gated'")
        if self._order is not None:
            raise RobotFault("another advance is under way; one clock at a time")
        if not isinstance(ticks, int) or not 0 <= ticks <= MAX_TICKS:
            raise BadOption("ticks", ticks, f"a whole number, 0 .. {MAX_TICKS}")
        self._order = _Order(ticks, deadline, ended)
        return self._order.answer

    def passed(self) -> None:
        """One tick passed."""
        if self._order is not None:
            self._order.done += 1

    def settle(self, word: str, ended: int, frozen: bool, now: float) -> None:
        """Answer the order if it is over: frozen after its last tick, its motion ended, a reflex, or too late."""
        order = self._order
        if order is None:
            return
        stopped = ended != order.ended or word.startswith("reflex")
        if stopped or (frozen and order.done >= order.ticks) or now > order.deadline or self.mode != "gated":
            self._order = None
            order.answer.set_result((order.done, word))

    def cancel(self) -> None:
        """The twin closes."""
        if self._order is not None:
            self._order.answer.set_exception(RobotFault("the twin closes"))
            self._order = None


def check(mode: str) -> str:
    """Raises BadOption."""
    if mode not in MODES:
        raise BadOption("mode", mode, " | ".join(MODES))
    return mode
