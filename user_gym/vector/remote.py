"""n environments that run at edges, as one gymnasium VectorEnv: all orders leave before any answer is waited for.

No thread is between: each edge's answer is read where it lies, straight into its row of the batch. Only resets, which may take
long, have a thread for each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from time import monotonic, sleep
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from user_gym import infos
from user_gym.env import checked
from user_gym.errors import BadAction, BadOption, Busy, Closed, Halted, NotReset, RobotFault
from user_gym.system.link.remote import faults
from user_gym.system.link.remote.env import RemoteEnv
from user_gym.system.link.remote.outcome import Step, copied
from user_gym.vector import arguments
from user_gym.vector.independent import MAX_FAULTS, RETRY
from user_gym.vector.row import ATTENTION

Outcomes = dict[int, Step]


class RemoteVectorEnv(VectorEnv[Any, Any, Any]):
    """Each row is a RemoteEnv, and an episode, its infos and the autoreset modes are those of Gymnasium's own vectorisers.

    A fault of one row, or silence of its edge, truncates its episode: the last observation known, reward 0, and info["fault"]
    says why; the others go on. Its next reset, at once and then every `retry` s, brings it back; until then each of its steps
    is such a truncation. With every row down, a step waits for the next attempt, and after `max_faults` of them in a row
    raises. A row that a person stopped (Halted) stays down until a `reset` names it. What an explicit `reset` meets, it raises.

    Args:
        num_envs: number of rows.
        edges: for each row an edge, or "EDGE/ROBOT"; None: all as `edge` says.
        max_episode_steps: of each episode; None: as long as the edge's own.
        autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED (then reset with options={"reset_mask": (n,) bool}).
        retry: s between two attempts to bring back a row.
        max_faults: attempts in a row, with every row down, after which a step raises.
        **options: of every RemoteEnv.

    Raises:
        BadOption, UnknownName: as RemoteEnv; BadOption also where the rows' spaces differ.
    """

    def __init__(
        self,
        num_envs: int = 1,
        edges: Sequence[str] | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        retry: float = RETRY,
        max_faults: int = MAX_FAULTS,
        **options: Any,
    ) -> None:
        self.num_envs = n = arguments.count(num_envs)
        if edges is not None and (isinstance(edges, str) or len(edges) != n):
            raise BadOption("edges", edges, f"a list of {n} names")
        self._autoreset = arguments.autoreset(autoreset_mode)
        self._limit = None if max_episode_steps is None else arguments.episode(max_episode_steps, 1)
        self._retry, self._max_faults = retry, max_faults
        own = [{}] * n if edges is None else [{"edge": edge} for edge in edges]
        self._envs: list[RemoteEnv] = []
        self._resets = ThreadPoolExecutor(n, "user-gym remote reset")  # they start with the first reset
        try:
            for row in own:
                self._envs.append(RemoteEnv(**{**options, **row}))
        except BaseException:
            self.close_extras()
            raise
        one = self._envs[0]
        self.render_mode = one.render_mode
        self.task_description = one.task_description
        self.metadata = {**one.metadata, "autoreset_mode": self._autoreset}
        self.single_observation_space: gymnasium.Space[Any] = one.observation_space
        self.single_action_space: gymnasium.Space[Any] = one.action_space
        for i, env in enumerate(self._envs):
            if (env.observation_space, env.action_space) != (one.observation_space, one.action_space):
                self.close_extras()
                raise BadOption(f"spaces of row {i}", env.observation_space, f"those of row 0, {one.observation_space}")
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        self._newest: Any = None  # batch; None before the first reset
        self._over = np.zeros(n, bool)
        self._steps = np.zeros(n, int)
        self._down: dict[int, RobotFault | Busy] = {}
        self._tried = 0.0  # s, monotonic: when rows that are down were reset last
        self._attempts = 0

    @property
    def envs(self) -> tuple[RemoteEnv, ...]:
        """One for each row."""
        return tuple(self._envs)

    @property
    def faults(self) -> dict[int, str]:
        """Which rows are down, and why."""
        return {i: faults.told(fault) for i, fault in self._down.items()}

    def reset(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin episodes: of all rows, or of those in options["reset_mask"].

        Args:
            seed: one number (row i gets seed + i), or one for each row.
            options: "reset_mask": (n,) bool; all else goes to the rows; "tcp" may be (n, 6) where the task is known.

        Raises:
            BadOption: a seed list of another length, or an option that is not allowed.
            RobotFault, Busy: as RemoteEnv.
        """
        self._open()
        given = checked(options)
        mask = arguments.mask(given.pop("reset_mask", None), self.num_envs, first=self._newest is None)
        seeds = arguments.seeds(seed, self.num_envs)
        rows = np.flatnonzero(mask).tolist()
        own = dict.fromkeys(rows, given)
        if hasattr(self._envs[0], "task"):
            starts = arguments.starts(given, mask, self._envs[0].task.workspace)
            own = {i: {} if tcp is None else {"tcp": tcp} for i, tcp in starts.items()}
        outcomes, failed = self._restarted({i: (seeds[i], own[i]) for i in rows})
        for error in failed.values():
            raise error
        return self._stacked(outcomes), infos.collate([outcomes[i].info if i in outcomes else {} for i in range(self.num_envs)])

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Order all rows, then wait for all.

        Raises:
            BadAction: before any row moves, where it is no number.
            NotReset: before the first reset, or past an end in the mode DISABLED.
            RobotFault: every row is down for too long.
        """
        self._open()
        if self._newest is None:
            raise NotReset("step, render or state before reset; call env.reset() first")
        if self._autoreset is AutoresetMode.DISABLED and self._over.any():
            over = np.flatnonzero(self._over).tolist()
            raise NotReset(f"episodes {over} are over; reset them with options={{'reset_mask': ...}}")
        resting = set(np.flatnonzero(self._over).tolist()) if self._autoreset is AutoresetMode.NEXT_STEP else set[int]()
        orders = self._checked(actions, resting)
        asked: list[int] = []
        outcomes: Outcomes = {}
        for i, order in enumerate(orders):
            if i not in resting and i not in self._down:
                try:
                    self._envs[i].begin_step(order)
                    asked.append(i)
                except RobotFault as fault:
                    outcomes[i] = self._fell(i, fault)
        begun, failed = self._restarted(dict.fromkeys(self._due(resting), (None, {})))
        outcomes |= begun
        outcomes |= {i: self._fell(i, error) for i, error in failed.items()}
        outcomes |= {i: self._stepped(i) for i in asked}
        outcomes |= {i: self._still(i) for i in range(self.num_envs) if i not in outcomes}
        if self._autoreset is AutoresetMode.SAME_STEP:
            outcomes |= self._same_step(outcomes)
        return self._batch(outcomes)

    def render(self) -> tuple[Any, ...] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One picture of each row, in mode "rgb_array"."""
        return tuple(env.render() for env in self._envs) if self.render_mode else None

    def close_extras(self, **kwargs: Any) -> None:
        """Give all robots back."""
        self._resets.shutdown()
        for env in self._envs:
            env.close()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """An attribute, or the result of a method, of each row's environment."""
        values = [getattr(env, name) for env in self._envs]
        return tuple(value(*args, **kwargs) if callable(value) else value for value in values)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of each row's environment."""
        return self.call(name)

    def _open(self) -> None:
        if self.closed:
            raise Closed("the environment is closed; make a new one")

    def _checked(self, value: Any, ignored: set[int]) -> Iterable[Any]:
        """Actions of all rows, sound before the first of them moves."""
        if not isinstance(self.single_action_space, gymnasium.spaces.Box):
            return iterate(self.action_space, value)
        actions = arguments.actions(value, self.action_space.shape or ())
        for i, action in enumerate(actions):
            if i not in ignored and not np.isfinite(action).all():
                raise BadAction(f"action {action} of row {i}; allowed: finite numbers")
        return actions

    def _restarted(
        self, rows: Mapping[int, tuple[int | None, Mapping[str, Any]]]
    ) -> tuple[Outcomes, dict[int, RobotFault | Busy]]:
        """Reset some, all at the same time: what came of each, and which could not be. Meanwhile the others are attended."""
        futures = {i: self._resets.submit(self._envs[i].reset, seed=seed, options=own) for i, (seed, own) in rows.items()}
        try:
            while wait(futures.values(), ATTENTION).not_done:
                for i, env in enumerate(self._envs):
                    if i not in futures or futures[i].done():
                        env.attend()
        finally:
            wait(futures.values())  # after Ctrl-C, too: one thread at a time uses an environment
        outcomes: Outcomes = {}
        failed: dict[int, RobotFault | Busy] = {}
        for i, future in futures.items():
            error = future.exception()
            if isinstance(error, RobotFault | Busy):
                failed[i] = error
            elif error is None:
                obs, info = future.result()
                self._down.pop(i, None)
                self._over[i], self._steps[i] = False, 0
                outcomes[i] = Step(obs, 0.0, False, False, info)
        for i in futures.keys() - outcomes.keys() - failed.keys():
            futures[i].result()  # raises
        return outcomes, failed

    def _stepped(self, i: int) -> Step:
        """The answer of a row that was ordered."""
        try:
            found = self._envs[i].end_step(copy=False)
        except RobotFault as fault:
            return self._fell(i, fault)
        if "fault" in found.info:
            fault = self._envs[i].fault
            assert fault is not None
            return self._fell(i, fault)
        self._steps[i] += 1
        truncated = found.truncated or (self._limit is not None and bool(self._steps[i] >= self._limit))
        self._over[i] = found.terminated or truncated
        return found._replace(truncated=truncated)

    def _fell(self, i: int, fault: RobotFault | Busy) -> Step:
        self._down[i] = fault
        return self._still(i)

    def _still(self, i: int) -> Step:
        """The truncation that stands for a row that is down."""
        self._over[i] = True
        obs = list(iterate(self.observation_space, self._newest))[i]
        info = {"is_success": False, "is_intervention": False, "fault": faults.told(self._down[i])}
        return Step(obs, 0.0, False, True, info)

    def _due(self, resting: set[int]) -> list[int]:
        """Rows to be reset now: those whose episode ended, and such that are down where it is time for another attempt."""
        down = {i for i in self._down if not isinstance(self._down[i], Halted)}
        fresh = [i for i in resting if i not in self._down]
        if len(self._down) == self.num_envs:
            if not down or self._attempts >= self._max_faults:
                raise RobotFault(f"no row is left: {self.faults}; mend one and reset() it")
            sleep(max(0.0, self._tried + self._retry * (self._attempts > 0) - monotonic()))
        self._attempts = self._attempts + 1 if len(self._down) == self.num_envs else 0
        if down and (self._attempts or monotonic() - self._tried >= self._retry):
            self._tried = monotonic()
            return [*fresh, *sorted(down)]
        return fresh

    def _same_step(self, outcomes: Outcomes) -> Outcomes:
        """Rows whose episode ended begin the next one before the answer."""
        ended = [i for i, outcome in outcomes.items() if (outcome.terminated or outcome.truncated) and i not in self._down]
        finals = {i: copied(outcomes[i].obs) for i in ended}
        begun, failed = self._restarted(dict.fromkeys(ended, (None, {})))
        for i, error in failed.items():
            self._down[i] = error
        made: Outcomes = {}
        for i in ended:
            final = {"final_obs": finals[i], "final_info": outcomes[i].info}
            after = begun[i] if i in begun else Step(finals[i], 0.0, False, False, {})
            made[i] = outcomes[i]._replace(obs=after.obs, info={**final, **after.info})
        return made

    def _batch(self, outcomes: Outcomes) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        rows = [outcomes[i] for i in range(self.num_envs)]
        return (
            self._stacked(outcomes), np.array([row.reward for row in rows], float), np.array([row.terminated for row in rows]),
            np.array([row.truncated for row in rows]), infos.collate([row.info for row in rows]),
        )  # fmt: skip

    def _stacked(self, outcomes: Outcomes) -> Any:
        """A new batch: these rows, and of the others what is known."""
        old = list(iterate(self.observation_space, self._newest)) if len(outcomes) < self.num_envs else []
        rows = [outcomes[i].obs if i in outcomes else old[i] for i in range(self.num_envs)]
        room = create_empty_array(self.single_observation_space, self.num_envs, np.empty)  # pyright: ignore[reportArgumentType]
        self._newest = concatenate(self.single_observation_space, rows, room)  # pyright: ignore[reportArgumentType]
        return self._newest


def make(num_envs: int = 1, **options: Any) -> RemoteVectorEnv:
    """Entry point of the ids for gymnasium.make_vec."""
    return RemoteVectorEnv(num_envs, **options)
