"""n arms, each on a clock and a thread of its own, as one gymnasium VectorEnv: real robots, and whatever is no batch.

In lockstep (`step`) all orders leave before any answer is waited for, and everyone waits for the slowest. Without it (`send`,
`recv`) each arm goes on as soon as it has an action, and nobody waits for another one's reset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import fields
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from user_gym import infos
from user_gym.core import F64, Bool, Compliance, Obs, RobotState, Task
from user_gym.env import RobotEnv, checked
from user_gym.errors import BadAction, BadOption, Closed, NotReset, RobotFault
from user_gym.vector import arguments
from user_gym.vector.row import ATTENTION, Outcome, Row
from user_gym.vector.under_way import UnderWay

RETRY = 5.0  # s: long enough for a person at the robot, short enough to lose little
MAX_FAULTS = 12  # in a row: about a minute of attempts


class Received(NamedTuple):
    """What `recv` gives: row k of everything is of arm `ids[k]`."""

    obs: Obs
    reward: F64  # (k,)
    terminated: Bool  # (k,)
    truncated: Bool  # (k,)
    info: dict[str, Any]  # batched as in `step`, k rows
    ids: np.ndarray  # (k,) int, ascending


class IndependentVectorEnv(VectorEnv[Obs, np.ndarray, np.ndarray]):
    """Many arms of one kind at one task, none of which waits for another without need.

    Each row is a single environment, so an episode, its infos and the three autoreset modes are those of Gymnasium's own
    vectorisers over single environments. What they do not have:

    **Faults.** A RobotFault of one arm truncates its episode: the last observation known, reward 0, info["fault"] says why.
    The others go on. Its reset tries to bring it back, at once and then every `retry` s; as long as it is down, each of its
    steps is such a truncation, its action is ignored and nobody waits for it. After `max_faults` faults without a good step
    between them, or where a person stopped it (Halted), it is given up: it stays truncated until a `reset` names it. With no
    arm left, RobotFault is raised; so it is where an arm's very first reset fails.

    **Lockstep or not.** `step` returns when the slowest arm has answered. A reset of a real arm takes seconds, in which the
    others hold still: in NEXT_STEP during the next step, in SAME_STEP during the same, in DISABLED during `reset`; several
    reset at the same time. `send(actions, ids)` and `recv()` wait for nobody. An arm whose episode ended is given with its
    last observation and begins its next episode by itself; its first observation comes as an answer of its own, reward 0, as
    in NEXT_STEP (in SAME_STEP both come as one; in DISABLED it waits for `reset`). An arm that is down comes back with that
    observation, when it does. Actions for an arm that begins an episode are ignored, so the loop is

        obs, info = env.reset()
        env.send(policy(obs))
        while training:
            obs, reward, terminated, truncated, info, ids = env.recv()
            env.send(policy(obs), ids)

    Args:
        num_envs: number of arms.
        task, backend, robot, obs, control: as RobotEnv.
        render_mode, max_episode_steps, autoreset_mode: as RobotVectorEnv.
        rows: for each arm the options that it alone has, such as its address.
        retry: s between two attempts to bring back an arm.
        max_faults: in a row, after which an arm is given up.
        **options: of every arm, as RobotEnv.

    Raises:
        UnknownName, BadOption, MissingExtra: as RobotEnv; BadOption also where the arms' spaces differ.
    """

    def __init__(
        self,
        num_envs: int = 1,
        task: str | Callable[..., Task] = "PegInsert",
        backend: str = "sim",
        robot: str = "franka-fr3",
        obs: str = "state",
        control: str = "tcp",
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        rows: Sequence[Mapping[str, Any]] | None = None,
        retry: float = RETRY,
        max_faults: int = MAX_FAULTS,
        **options: Any,
    ) -> None:
        self.num_envs = n = arguments.count(num_envs)
        self.render_mode = arguments.render_mode(render_mode)
        self._autoreset = arguments.autoreset(autoreset_mode)
        if not (isinstance(retry, int | float) and retry >= 0):
            raise BadOption("retry", retry, "0 or more (seconds)")
        if not (isinstance(max_faults, int) and max_faults >= 1):
            raise BadOption("max_faults", max_faults, "1 or more")
        if rows is not None and len(rows) != n:
            raise BadOption("rows", rows, f"options for each of {n} arms")
        shared = {"task": task, "backend": backend, "robot": robot, "obs": obs, "control": control, **options}
        envs = [RobotEnv(**{**shared, "render_mode": render_mode, **own}) for own in rows or [{}] * n]
        one = envs[0]
        self.task, self.spec_of_robot = one.task, one.spec_of_robot
        self.task_description = one.task_description
        for i, env in enumerate(envs):
            if (env.observation_space, env.action_space) != (one.observation_space, one.action_space):
                raise BadOption(f"robot of arm {i}", env.spec_of_robot.name, f"the spaces of arm 0, {one.spec_of_robot.name}")
        limit = arguments.episode(max_episode_steps, self.task.max_steps)
        self._rows = [Row(i, env, limit, retry, max_faults) for i, env in enumerate(envs)]
        self._envs = envs
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": self.task.rate, "autoreset_mode": self._autoreset}
        self.single_observation_space: gymnasium.Space[Any] = one.observation_space
        self.single_action_space: gymnasium.Space[Any] = one.action_space
        self.observation_space = batch_space(self.single_observation_space, n)
        self.action_space = batch_space(self.single_action_space, n)
        self._newest: list[Obs] = []  # of each arm; empty before the first reset
        self._under_way = UnderWay(self._rows, self._autoreset)

    @property
    def state(self) -> RobotState:
        """The newest states, (n, ...). Raises NotReset."""
        self._ready()
        states = [env.state for env in self._envs]
        return RobotState(*(np.stack([getattr(state, field.name) for state in states]) for field in fields(RobotState)))

    @property
    def faults(self) -> dict[int, str]:
        """Which arms are down, and why."""
        return {i: row.fault for i, row in enumerate(self._rows) if row.fault}

    def reset(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """Begin episodes: of all arms, or of those in options["reset_mask"]; what was under way for them is dropped.

        Args:
            seed: one number (arm i gets seed + i), or one for each arm.
            options: "reset_mask": (n,) bool; "tcp": (6,) or (n, 6) where to start.

        Raises:
            BadOption: a seed list of another length, or an option that is not allowed.
            RobotFault: an arm cannot be reached that never was; later that is told in info["fault"].
        """
        self._open()
        given = checked(options)
        mask = arguments.mask(given.pop("reset_mask", None), self.num_envs, first=not self._newest)
        seeds = arguments.seeds(seed, self.num_envs)
        tcps = arguments.starts(given, mask, self.task.workspace)  # last: a refused reset changes nothing
        self._under_way.drop(tcps)
        outcomes = self._all({i: self._rows[i].reset(seeds[i], {} if tcp is None else {"tcp": tcp}) for i, tcp in tcps.items()})
        newest = dict(enumerate(self._newest)) | {i: outcome.obs for i, outcome in outcomes.items()}
        self._newest = [newest[i] for i in range(self.num_envs)]
        info = infos.collate([outcomes[i].info if i in outcomes else {} for i in range(self.num_envs)])
        return _stack(self._newest), info

    def step(self, actions: np.ndarray) -> tuple[Obs, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Order all arms, then wait for all. Arms that autoreset say so as the mode prescribes.

        Raises:
            BadAction: as RobotEnv, before any arm moves; or an arm is under way by `send`.
            NotReset: before the first reset, or past an end in the mode DISABLED.
            RobotFault: every arm was given up.
        """
        self._ready()
        if self._under_way.rows:
            raise BadAction(f"step while arms {sorted(self._under_way.rows)} are under way; allowed: recv() them, or reset()")
        next_step, same_step = self._autoreset is AutoresetMode.NEXT_STEP, self._autoreset is AutoresetMode.SAME_STEP
        resting = {i for i, row in enumerate(self._rows) if next_step and row.over}
        actions = self._checked(actions, range(self.num_envs), resting)
        until_back = all(row.fault for row in self._rows)  # nothing else would set the pace
        futures: dict[int, Future[Any]] = {}
        for i, row in enumerate(self._rows):
            futures[i] = row.restart(until_back) if i in resting else row.step(actions[i], same_step, until_back)
        outcomes = self._all(futures)
        self._raise_if_none_is_left()
        return self._batch(outcomes)

    def send(self, actions: np.ndarray, ids: Sequence[int] | np.ndarray | None = None) -> None:
        """Order the arms of `ids`, and return at once.

        Args:
            actions: (k, a), one for each of `ids`. Those for arms that begin an episode are ignored.
            ids: (k,) numbers of arms; None: all.

        Raises:
            BadAction: as RobotEnv, before any arm moves; or an arm is still under way.
            BadOption: no such arm, or one twice.
            NotReset: before the first reset, or past an end in the mode DISABLED.
        """
        self._ready()
        rows = arguments.ids(ids, self.num_envs)
        beginning = self._under_way.beginning
        busy = [i for i in rows if i in self._under_way.rows and i not in beginning]
        if busy:
            raise BadAction(f"actions for arms {busy}, which are under way; allowed: recv() them first")
        actions = self._checked(actions, rows, beginning)
        self._under_way.send({i: action for i, action in zip(rows, actions, strict=True)})

    def recv(self, min_ready: int = 1) -> Received:
        """Wait until at least `min_ready` arms have answered (all, where fewer are under way); give all that have.

        Raises:
            NotReset: no arm is under way.
            BadOption: `min_ready` is no whole number, 1 or more.
            RobotFault: every arm was given up.
        """
        self._ready()
        if not isinstance(min_ready, int | np.integer) or min_ready < 1:
            raise BadOption("min_ready", min_ready, "a whole number, 1 or more")
        if not self._under_way.rows:
            self._raise_if_none_is_left()
            raise NotReset("no arm is under way; send(actions, ids) first")
        answers = self._under_way.recv(int(min_ready))
        if not answers:
            self._raise_if_none_is_left()
        return Received(*self._batch(answers), np.array(sorted(answers)))

    def render(self) -> tuple[np.ndarray, ...] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One picture (480, 480, 3) of each arm, in mode "rgb_array"."""
        self._ready()
        return self.call("render") if self.render_mode else None

    def set_compliance(self, compliance: Compliance) -> None:
        """Change how the arms yield, from the next step on; kept over resets. Raises BadOption."""
        self._open()
        self.call("set_compliance", compliance)

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the arms, all at once, and let go of everything."""
        self._all(dict(enumerate([row.close() for row in self._rows])))

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """An attribute, or the result of a method, of each arm's environment."""

        def ask(env: Any) -> Any:
            value = env.get_wrapper_attr(name)
            return value(*args, **kwargs) if callable(value) else value

        return tuple(self._all({i: row.ask(ask) for i, row in enumerate(self._rows)}).values())

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of each arm's environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each arm's environment: a list gives one value for each."""
        each = list(values) if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise BadOption(name, values, f"one value, or {self.num_envs} of them")
        self._all({i: row.ask(lambda env, i=i: env.set_wrapper_attr(name, each[i])) for i, row in enumerate(self._rows)})

    def _open(self) -> None:
        if self.closed:
            raise Closed("the environment is closed; make a new one")

    def _ready(self) -> None:
        self._open()
        if not self._newest:
            raise NotReset("step, render or state before reset; call env.reset() first")

    def _checked(self, value: Any, rows: Sequence[int], ignored: set[int]) -> np.ndarray:
        """Actions of `rows`, all of them sound, before the first arm moves."""
        actions = arguments.actions(value, (len(rows), *(self.single_action_space.shape or ())))
        over = [i for i in rows if i not in ignored and self._rows[i].over]
        if over and self._autoreset is AutoresetMode.DISABLED:
            raise NotReset(f"episodes {over} are over; reset them with options={{'reset_mask': ...}}")
        for k, i in enumerate(rows):
            if i not in ignored and not np.isfinite(actions[k]).all():
                raise BadAction(f"action {actions[k]} of arm {i}; allowed: finite numbers in [-1, 1]")
        return actions

    def _batch(self, outcomes: Mapping[int, Outcome]) -> tuple[Obs, F64, Bool, Bool, dict[str, Any]]:
        for i, outcome in outcomes.items():
            self._newest[i] = outcome.obs
        obs, reward, terminated, truncated, info = zip(*(outcomes[i] for i in sorted(outcomes)), strict=True)
        return _stack(obs), np.array(reward, float), np.array(terminated, bool), np.array(truncated, bool), infos.collate(info)

    def _all(self, futures: Mapping[int, Future[Any]]) -> dict[int, Any]:
        """The results, when all are there; then the first error is raised, if there is one."""
        while wait(futures.values(), ATTENTION).not_done:
            for i, row in enumerate(self._rows):
                if i not in futures or futures[i].done():
                    row.attend()
        return {i: future.result() for i, future in futures.items()}

    def _raise_if_none_is_left(self) -> None:
        if all(row.lost for row in self._rows):
            raise RobotFault(f"no arm is left: {self.faults}; mend one and reset() it")


def _stack(rows: Sequence[Obs]) -> Obs:
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}
