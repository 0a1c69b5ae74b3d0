"""Calls of several threads become one: who comes while a commit is under way joins the next. It knows no blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock, RLock
from typing import Generic, TypeVar

Given = TypeVar("Given")
Answer = TypeVar("Answer")


class _Call(Generic[Given, Answer]):
    __slots__ = ("answer", "error", "given")

    def __init__(self, given: Given) -> None:
        self.given = given
        self.answer: list[Answer] = []
        self.error: BaseException | None = None


class Joining(Generic[Given, Answer]):
    """Thread-safe.

    Args:
        act: what is given by several callers -> an answer for each; or it raises and did nothing: then each is tried alone.
        lock: held around `act`.
    """

    def __init__(self, act: Callable[[Sequence[Given]], Sequence[Answer]], lock: RLock) -> None:
        self._act, self._acting = act, lock
        self._joining = Lock()
        self._calls: list[_Call[Given, Answer]] = []

    def __call__(self, given: Given) -> Answer:
        """The answer for this caller; raises what `act` raised."""
        call = _Call[Given, Answer](given)
        with self._joining:
            self._calls.append(call)
        with self._acting:
            if not call.answer and call.error is None:  # else another thread took it along
                self._act_for_all()
        if call.error is not None:
            raise call.error
        return call.answer[0]

    def _act_for_all(self) -> None:
        with self._joining:
            calls, self._calls = self._calls, []
        if not self._have_acted(calls) and len(calls) > 1:
            for call in calls:  # what is wrong with one is no matter of the others
                self._have_acted([call])

    def _have_acted(self, calls: Sequence[_Call[Given, Answer]]) -> bool:
        try:
            answers = self._act([call.given for call in calls])
        except BaseException as error:
            for call in calls:
                call.error = error
            if not isinstance(error, Exception):
                raise  # this thread is to end; the others hear of it
            return False
        else:
            for call, answer in zip(calls, answers, strict=True):
                call.answer.append(answer)
                call.error = None
            return True
