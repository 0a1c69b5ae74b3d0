"""Verdicts on episodes that come when these are over: kept as labels of a buffer, and what is drawn says what they say.

It knows no reward and no person. A verdict is the label "verdict" of each step of its episode: 1 or 0 of the last one, 0 of the
others.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from threading import Condition, Thread
from typing import Any

import numpy as np

from user_gym.core import F32, I64, Acknowledgement, Batch, Chunk
from user_gym.errors import BadOption, UserGymError
from user_gym.system.buffer import sampling
from user_gym.system.buffer.buffer import Buffer
from user_gym.system.buffer.view import View

LABEL = "verdict"
_AGAIN = 0.2  # s until an episode that was not stored whole is looked for again
_LAST = 20.0  # s that closing waits for what is being written: a disk may be slow

_log = logging.getLogger(__name__)


class Verdicts:
    """Writes them, in a thread of its own, as soon as the buffer holds the end of the episode: from `open` to `close`.

    Args:
        buffer: open to write, by this process.
        source: whose episodes they are.
        by: who gives them.
    """

    def __init__(self, buffer: Buffer, source: str = "collector-0", by: str = "human") -> None:
        self._buffer, self._source, self._by = buffer, source, by
        self._pending: dict[int, bool] = {}  # episode -> the newest verdict on it
        self._changed, self._closing = Condition(), False
        self._thread: Thread | None = None

    def open(self) -> None:
        """Start the thread; may be called twice, and after `close`."""
        if self._thread is None:
            self._closing = False
            self._thread = Thread(target=self._run, name="late-verdicts", daemon=True)
            self._thread.start()

    def tell(self, episode: int, success: bool) -> None:
        """A verdict; never waits for a disk. The newest of an episode counts."""
        with self._changed:
            self._pending[episode] = success
            self._changed.notify()

    def close(self) -> None:
        """Write what can be written; the rest is told of in the log. May be called twice.

        Raises Unwritable, NoSpace where labels cannot be written.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with self._changed:
            self._closing = True
            self._changed.notify()
        thread.join(_LAST)
        left = dict(self._pending)
        for episode, success in left.items():
            if not self._write(episode, success):
                _log.warning("the verdict on episode %d is not kept: the buffer does not hold the end of that episode", episode)

    def __enter__(self) -> Verdicts:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._pending and not self._closing:
                    self._changed.wait(1.0)
                if self._closing:
                    return
                pending = dict(self._pending)
            for episode, success in pending.items():
                try:
                    written = self._write(episode, success)
                except UserGymError as error:  # it stays pending; closing raises it, if it lasts so long
                    _log.warning("the verdict on episode %d cannot be written, and is tried again: %s", episode, error)
                    continue
                with self._changed:
                    if written and self._pending.get(episode) == success:
                        del self._pending[episode]
            with self._changed:
                if pending.keys() & self._pending.keys() and not self._closing:
                    self._changed.wait(_AGAIN)

    def _write(self, episode: int, success: bool) -> bool:
        """Whether the episode was there, and has its label now."""
        return write(self._buffer, self._source, episode, success, self._by)


def write(buffer: Buffer, source: str, episode: int, success: bool, by: str = "human") -> bool:
    """Label an episode; False, and nothing is written, where the buffer does not hold its end.

    Args:
        buffer: open to write, by this process.
        source: whose episode it is.
        episode: its number.
        success: the verdict.
        by: who gives it.

    Raises:
        Unwritable, NoSpace: labels cannot be written.
    """
    quoted = source.replace("'", "''")
    of_it = f"source = '{quoted}' AND episode = {episode}"
    if not len(buffer.view(f"{of_it} AND (terminated OR truncated)")):
        return False

    def label(chunk: Chunk) -> F32:
        return np.where(chunk.terminated | chunk.truncated, np.float32(success), np.float32(0))

    buffer.view(of_it).relabel(LABEL, label, by)
    return True


class Judged:
    """A Storage: a view whose steps have the reward of the verdict on their episode, where there is one.

    The last step of such an episode is terminated: who said how it ended knew it to be over, even where only its time was.

    Args:
        buffer: of the labels.
        view: of it.
    """

    def __init__(self, buffer: Buffer, view: View) -> None:
        self._buffer, self._view = buffer, view

    def append(self, chunk: Chunk) -> Acknowledgement:
        """Never: as of a view."""
        return self._view.append(chunk)

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1, out: Batch | None = None) -> Batch:
        """As `core.Storage.sample`, of single steps. Raises BadOption for others."""
        return sampling.sample(self, n, rng, horizon, out)

    def draw(self, n: int, rng: np.random.Generator) -> I64:
        """As `View.draw`."""
        return self._view.draw(n, rng)

    def read(self, numbers: I64, horizon: int = 1, out: Batch | None = None, due: Any = None) -> Batch:
        """As `View.read`, of single steps."""
        if horizon != 1:
            raise BadOption("horizon", horizon, "1, where verdicts take the place of rewards")
        batch = self._view.read(numbers, horizon, out, due)
        if LABEL not in self._buffer.labels.names:
            return batch
        verdict = self._buffer.labels.at(LABEL, numbers)
        told = ~np.isnan(verdict)
        over = told & (batch.terminated | batch.truncated)
        reward = np.where(told, verdict, batch.reward)
        return replace(batch, reward=reward, terminated=batch.terminated | over, truncated=batch.truncated & ~over)

    def wants(self, numbers: I64, horizon: int) -> sampling.Wants:
        """As `View.wants`."""
        return self._view.wants(numbers, horizon)

    def empty(self, n: int, horizon: int = 1, allocate: Any = np.empty) -> Batch:
        """As `View.empty`."""
        return self._view.empty(n, horizon, allocate)

    def view(self, where: str) -> Judged:
        """The part of it that `where` selects too."""
        return Judged(self._buffer, self._view.view(where))

    def __len__(self) -> int:
        return len(self._view)

    def stats(self) -> Mapping[str, float]:
        """As of the view."""
        return self._view.stats()

    def close(self) -> None:
        """Nothing to let go of."""
