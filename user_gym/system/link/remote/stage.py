"""The environment of one robot that clients step, and the episode that runs in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import gymnasium

from user_gym.core import RobotState, Scene
from user_gym.errors import BadBlock, BadOption, Halted, NotReset, RobotFault, Stopped, UserGymError
from user_gym.system.link.remote import faults, spaces
from user_gym.system.link.remote.asks import Ask
from user_gym.system.link.remote.form import Tree
from user_gym.system.link.remote.served import Served
from user_gym.system.spaces import spec_hash

_MOST_CHUNK = 1000  # steps
_log = logging.getLogger(__name__)


class Stage:
    """For one thread.

    Args:
        robot: its name.

    Attributes:
        running: an episode.
        halted: a person stopped the robot, until it is opened anew; may be written from any thread.
    """

    def __init__(self, robot: str) -> None:
        self.robot = robot
        self.running = False
        self.halted: Halted | None = None
        self._env: gymnasium.Env[Any, Any] | None = None
        self._made: tuple[str, dict[str, Any]] | None = None
        self._why: UserGymError | None = None  # there is no episode

    def open(self, served: Served, options: Mapping[str, Any], also_spaces: bool) -> dict[str, Any]:
        """An environment for who comes now, the one before where it is the same; what there is to say of it."""
        given = {**served.options, **options}
        if self._made != (served.env_id, given):
            self.close()
            self._env, self._made = served.make(served.env_id, **given), (served.env_id, given)
        self.halted = None
        env = self.env
        said: dict[str, Any] = {
            "hash": spec_hash(env.observation_space, env.action_space), "id": served.env_id,
            "fps": float(env.metadata.get("render_fps") or 0.0),
            "description": str(getattr(env.unwrapped, "task_description", "")),
            "steps": env.spec.max_episode_steps if env.spec is not None else None,
        }  # fmt: skip
        if also_spaces:
            said |= {"observations": spaces.described(env.observation_space), "actions": spaces.described(env.action_space)}
        return said

    @property
    def env(self) -> gymnasium.Env[Any, Any]:
        """Raises NotReset before the first `open`."""
        if self._env is None:
            raise NotReset(f"nobody has opened an environment of {self.robot}; call env.reset() first")
        return self._env

    def reset(self, asked: Tree) -> Tree:
        """Begin an episode, unless a person stopped the robot."""
        if self.halted is not None:
            raise self.halted
        match asked:
            case {"seed": int() | None as seed, "options": dict() | None as options}:
                pass
            case _:
                raise BadBlock("reset of a client", asked, "seed and options")
        try:
            obs, info = self.env.reset(seed=seed, options=options)
        except UserGymError as error:
            if isinstance(error, RobotFault):
                self.running, self._why = False, error
            raise
        self.running, self._why = True, None
        return {"obs": obs, "info": info}

    def step(self, action: Tree) -> Tree:
        """Raises why there is no episode, or what the environment raises; a fault ends the episode."""
        if self.halted is not None:
            raise self.halted
        if not self.running:
            raise self._why or NotReset("step before reset; call env.reset() first")
        try:
            obs, reward, terminated, truncated, info = self.env.step(action)
        except UserGymError as error:
            if isinstance(error, RobotFault):
                self.running, self._why = False, error
            raise
        except Exception as error:
            self.hold(faults.heard(faults.said(error)))
            raise
        if terminated or truncated:
            self.running, self._why = False, NotReset("step past the end of an episode; call env.reset() first")
        return obs, float(reward), bool(terminated), bool(truncated), info

    def chunk(self, actions: Tree, words: dict[str, Any], left: Callable[[], bool]) -> Tree:
        """Steps until one ends the episode. A fault ends it as well, and what was done before it is told with it.

        Args:
            actions: one for each step.
            words: gets the fault.
            left: whether nobody waits for the steps any more; then the robot holds instead of taking the others.
        """
        if not isinstance(actions, list) or not 1 <= len(actions) <= _MOST_CHUNK:
            raise BadOption("actions of a chunk", type(actions).__name__, f"a list of 1..{_MOST_CHUNK}")
        steps: list[Tree] = []
        for action in actions:
            if steps and left():
                self.hold(Stopped(f"{self.robot} holds: its client has left; reset() goes on"))
            try:
                steps.append(self.step(action))
            except Exception as error:  # whatever it is, the client is told; but the steps before it were taken
                if not steps:
                    raise
                words["fault"] = faults.said(error)
                break
            if any(steps[-1][2:4]):
                break
        return steps

    def hold(self, why: UserGymError) -> None:
        """Nobody steps any more, until a reset."""
        if not self.running:
            return
        self.running, self._why = False, why
        _log.warning("%s", why)
        hold = getattr(self.env.unwrapped, "hold", None)
        if hold is not None:
            try:
                hold()
            except RobotFault as error:  # it stands, or says so at the next reset
                _log.warning("%s: %s", self.robot, error)
            except Exception:  # a bug of an environment does not end the thread that holds its robot
                _log.exception("hold() of %s", self.robot)

    def attend(self) -> None:
        """The next step comes late on purpose."""
        attend = getattr(self.env.unwrapped, "attend", None)
        if attend is not None:
            attend()

    def record(self, ask: Ask) -> Tree:
        """State or scene, by field. Raises BadOption where the environment has none."""
        value = getattr(self.env.unwrapped, ask.name.lower(), None)
        if not isinstance(value, RobotState | Scene):
            raise BadOption("state of a remote environment", type(value).__name__, "an environment that has one, as RobotEnv")
        return {f.name: getattr(value, f.name) for f in fields(value)}

    def close(self) -> None:
        """May be called twice."""
        env, self._env, self._made, self.running = self._env, None, None, False
        if env is not None:
            env.close()
