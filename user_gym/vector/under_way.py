"""Arms that were sent an action and have not answered yet, without lockstep: whoever is ready is heard first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from user_gym.vector.row import ATTENTION, Outcome, Row


class UnderWay:
    """What is under way for each of some rows.

    Args:
        rows: all arms.
        mode: NEXT_STEP: an arm whose episode ended answers twice, with the end and with the beginning that follows by itself.
    """

    def __init__(self, rows: Sequence[Row], mode: AutoresetMode) -> None:
        self._all, self._mode = rows, mode
        self._futures: dict[int, list[Future[Any]]] = {}  # of each arm under way, the next answer first
        self._beginning: set[int] = set()

    @property
    def rows(self) -> set[int]:
        """Arms that will answer."""
        return set(self._futures)

    @property
    def beginning(self) -> set[int]:
        """Those of them whose end was heard and whose next answer is the first observation of an episode."""
        return set(self._beginning)

    def send(self, actions: Mapping[int, np.ndarray]) -> None:
        """Dispatch an action for each arm, except for those that begin an episode or are lost."""
        next_step, same_step = self._mode is AutoresetMode.NEXT_STEP, self._mode is AutoresetMode.SAME_STEP
        for i, action in actions.items():
            row = self._all[i]
            if i not in self._beginning and not row.lost:
                step = row.step(action, same_step, until_back=True)
                self._futures[i] = [step, row.follow()] if next_step else [step]

    def recv(self, min_ready: int) -> dict[int, Outcome]:
        """Answers of at least `min_ready` arms, or of all that are under way; one an arm. An arm that got lost gives none."""
        answers: dict[int, Outcome] = {}
        while len(answers) < min_ready:
            awaited = {i: futures[0] for i, futures in self._futures.items() if i not in answers}
            if not awaited:
                break
            while not wait(awaited.values(), ATTENTION, FIRST_COMPLETED).done:
                for i, row in enumerate(self._all):
                    if i not in awaited:
                        row.attend()
            for i, future in awaited.items():
                if future.done() and (outcome := self._heard(i, future)) is not None:
                    answers[i] = outcome
        return answers

    def drop(self, rows: Iterable[int]) -> None:
        """Forget these arms: what has not begun is cancelled, and nobody hears the rest."""
        for i in rows:
            self._beginning.discard(i)
            for future in self._futures.pop(i, ()):
                future.cancel()

    def _heard(self, i: int, future: Future[Any]) -> Outcome | None:
        rest = self._futures[i][1:]
        began = i in self._beginning
        del self._futures[i]
        self._beginning.discard(i)
        outcome: Outcome = future.result()
        if began and outcome.truncated:  # it did not come back, and its end was told before
            return None
        if rest and (outcome.terminated or outcome.truncated):
            self._futures[i] = rest
            self._beginning.add(i)
        return outcome
