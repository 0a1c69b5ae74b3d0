"""One policy for several bodies: robots or tasks with unlike spaces, seen through what they share. It knows no agent.

With `control="tcp"` every arm is seen and moved in the units of its task, so the common layout is little more than a name:

action        as wide as the widest body's. Steps of the TCP (or of as many joints) come first and are those of every body;
              the gripper's entry moves nothing where the body's task leaves the gripper alone.
"state"       the body's own, zeros behind it up to the widest, then the token: 1 at the body's place among all, else 0.
pictures      of all cameras that any body has; black where it lacks one.
"axes"        only where bodies differ in it: 1 for each entry of the action that the body has, else 0.

Importing it registers "Embodied-v0", see `make`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from user_gym.core import F32, Obs
from user_gym.errors import BadAction, BadOption, UnknownName

AXES = "axes"
Step = tuple[Obs, float, bool, bool, dict[str, Any]]


class Label(NamedTuple):
    """What a body's experience is known by."""

    robot: str
    task: str


class Layout:
    """What several bodies share.

    Args:
        envs: one of each body, with a Dict that has a "state", a Box of actions, and an attribute `task` (core.Task).

    Raises:
        BadOption: fewer than two bodies, or two that cannot share: the message names them.
    """

    def __init__(self, envs: Mapping[Label, gymnasium.Env[Any, Any]]) -> None:
        if len(envs) < 2:
            raise BadOption("bodies", ", ".join(map(_named, envs)) or "none", "two or more", "one body needs no layout")
        self.labels = tuple(envs)
        (first, _), *_ = envs.items()
        steps = {label: _steps(env) for label, env in envs.items()}
        states = {label: _box(env.observation_space["state"]) for label, env in envs.items()}  # pyright: ignore[reportIndexIssue]
        pictures: dict[str, gymnasium.spaces.Box] = {}
        for label, env in envs.items():
            if steps[label] != steps[first]:
                allowed = f"{steps[first]}, as {_named(first)} has"
                cure = "control='tcp' gives every arm the same six"
                raise BadOption(f"axes of {_named(label)}, without the gripper", steps[label], allowed, cure)
            for name, space in env.observation_space.items():  # pyright: ignore[reportAttributeAccessIssue]
                known = pictures.setdefault(name, space)
                if name != "state" and known != space:
                    allowed = f"{_box(known).shape}, as of the bodies before it"
                    raise BadOption(f"{name!r} of {_named(label)}", _box(space).shape, allowed)
        del pictures["state"]
        self.pictures = pictures
        self.widths = {label: len(box.low) for label, box in states.items()}
        self.axes = {label: _box(env.action_space).shape[0] for label, env in envs.items()}
        self.width, most = max(self.widths.values()), max(self.axes.values())
        low, high = (
            reach([np.pad(getattr(box, end), (0, self.width - len(box.low))) for box in states.values()], axis=0)
            for end, reach in (("low", np.min), ("high", np.max))
        )
        token = np.zeros(len(envs), np.float32)
        spaces: dict[str, gymnasium.Space[Any]] = {
            "state": gymnasium.spaces.Box(np.concatenate([low, token]), np.concatenate([high, token + 1])), **pictures,
        }  # fmt: skip
        if len({*self.axes.values()}) > 1:
            spaces[AXES] = gymnasium.spaces.Box(0.0, 1.0, (most,), np.float32)
        self.observation_space: Any = gymnasium.spaces.Dict(spaces)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (most,), np.float32)

    def wide(self, action: F32) -> F32:
        """A body's own action (a,) as one of all: zeros where it has no axis."""
        return np.pad(action, (0, self.action_space.shape[0] - len(action)))


class Embodied(gymnasium.Wrapper[Obs, np.ndarray, Obs, np.ndarray]):
    """One body, seen through the layout. Every info says its "robot" and "task".

    Args:
        env: of that body.
        layout: what it shares with the others.
        label: which of them it is.
    """

    def __init__(self, env: gymnasium.Env[Obs, np.ndarray], layout: Layout, label: Label) -> None:
        super().__init__(env)
        self.layout, self.label = layout, label
        self.observation_space, self.action_space = layout.observation_space, layout.action_space
        # By name: processes that list the bodies in another order mean the same one by a token.
        token = np.array([other == label for other in sorted(layout.labels)], np.float32)
        self._behind = np.concatenate([np.zeros(layout.width - layout.widths[label], np.float32), token])
        self._axes = layout.axes[label]
        own: Any = env.observation_space
        self._black = {name: space for name, space in layout.pictures.items() if name not in own.spaces}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        """Begin an episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._seen(obs), info | self.label._asdict()

    def step(self, action: np.ndarray) -> Step:
        """One step with the axes that the body has. Raises BadAction."""
        if np.shape(action) != self.action_space.shape:
            raise BadAction(f"action of shape {np.shape(action)}; allowed: {self.action_space.shape}, of all bodies together")
        obs, reward, terminated, truncated, info = self.env.step(action[: self._axes])
        told = info | self.label._asdict()
        told |= {name: self.layout.wide(info[name]) for name in ("executed_action", "teleop_action") if name in info}
        return self._seen(obs), float(reward), terminated, truncated, told

    def _seen(self, obs: Obs) -> Obs:
        seen = {**obs, "state": np.concatenate([obs["state"], self._behind])}
        seen |= {name: np.zeros(space.shape, np.uint8) for name, space in self._black.items()}
        if AXES in self.layout.observation_space.spaces:
            seen[AXES] = self.layout.wide(np.ones(self._axes, np.float32))
        return seen


class Turns(gymnasium.Env[Obs, np.ndarray]):
    """Several bodies as one environment: an episode each; next comes the one that has made the fewest steps.

    So each makes as many steps as the others, however long its episodes are. The order follows from the steps alone.

    Args:
        envs: of the bodies; closed with this.

    Raises:
        BadOption: as Layout.
    """

    def __init__(self, envs: Mapping[Label, gymnasium.Env[Obs, np.ndarray]]) -> None:
        layout = Layout(envs)
        self.bodies = {label: Embodied(env, layout, label) for label, env in envs.items()}
        self.observation_space, self.action_space = layout.observation_space, layout.action_space
        self.acting: Embodied = self.bodies[layout.labels[0]]
        self.metadata, self.render_mode = self.acting.metadata, self.acting.render_mode
        self._steps = dict.fromkeys(self.bodies, 0)
        self._seeds: dict[Label, int] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        """Begin an episode of the body whose turn it is. A seed is for all, each makes its own of it, and their steps are 0."""
        super().reset(seed=seed)
        if seed is not None:
            self._steps = dict.fromkeys(self.bodies, 0)
            drawn = np.random.SeedSequence(seed).generate_state(len(self.bodies)).tolist()
            self._seeds = dict(zip(self.bodies, [seed, *drawn[1:]], strict=True))
        turn = min(self._steps, key=lambda label: self._steps[label])
        self.acting = self.bodies[turn]
        return self.acting.reset(seed=self._seeds.pop(turn, None), options=options)

    def step(self, action: np.ndarray) -> Step:
        """One step of the body whose turn it is. Raises BadAction."""
        self._steps[self.acting.label] += 1
        return self.acting.step(action)

    @property
    def state(self) -> Any:
        """Of the body whose turn it is, as `RobotEnv.state`: for wrappers around all bodies."""
        return self.acting.get_wrapper_attr("state")

    @property
    def scene(self) -> Any:
        """Likewise."""
        return self.acting.get_wrapper_attr("scene")

    def render(self) -> Any:
        """A picture of the body whose turn it is."""
        return self.acting.render()

    def close(self) -> None:
        """Stop all of them. May be called twice."""
        for body in self.bodies.values():
            body.close()


def make(
    env_id: str,
    robot: str,
    robots: Sequence[str],
    env_ids: Sequence[str] = (),
    obs: str = "state",
    control: str = "tcp",
    **own: Any,
) -> Embodied:
    """One of several bodies, robots or tasks, by itself: for runs in which each robot has a process of its own.

    Args:
        env_id: of its task, as in gymnasium.make.
        robot: which of the robots it is.
        robots: all of them, the same for each body; their order does not matter.
        env_ids: of all tasks, likewise; none: `env_id` alone.
        obs: as RobotEnv, like `control`.
        control: see `obs`.
        **own: further options of this body's environment, such as its address.

    Raises:
        UnknownName, BadOption: as RobotEnv and Layout; UnknownName also where `robot` or `env_id` is none of all.
    """
    env_ids = env_ids or (env_id,)
    for name, all_of_them in (("robots", robots), ("env_ids", env_ids)):
        if isinstance(all_of_them, str):
            raise BadOption(name, all_of_them, "a list of names")
    for name, mine, all_of_them in (("robot", robot, robots), ("env_id", env_id, env_ids)):
        if mine not in all_of_them:
            raise UnknownName(name, mine, all_of_them, f"name all that share the policy in `{name}s`")
    envs: dict[Label, gymnasium.Env[Any, Any]] = {}
    label = None
    try:
        for task, arm in product(env_ids, robots):
            is_mine = (task, arm) == (env_id, robot)
            env = gymnasium.make(task, robot=arm, obs=obs, control=control, **(own if is_mine else {}))
            made = Label(arm, env.get_wrapper_attr("task").name)
            if made in envs:
                env.close()
                raise BadOption("bodies", f"{_named(made)}, twice", "each once", "two ids of one task are one body")
            envs[made], label = env, made if is_mine else label
        layout = Layout(envs)
    except BaseException:
        for env in envs.values():
            env.close()
        raise
    assert label is not None
    for other, env in envs.items():
        if other != label:
            env.close()  # it was made for its spaces alone, and has moved nothing
    return Embodied(envs[label], layout, label)


def _named(label: Label) -> str:
    return f"{label.robot} at {label.task}"


def _box(space: Any) -> gymnasium.spaces.Box:
    if not isinstance(space, gymnasium.spaces.Box):
        raise BadOption("space of a body", space, "a Box")
    return space


def _steps(env: gymnasium.Env[Any, Any]) -> int:
    """How many axes the action has before the gripper."""
    return _box(env.action_space).shape[0] - bool(env.get_wrapper_attr("task").moves_gripper)


gymnasium.register("Embodied-v0", entry_point="user_gym.embodiment:make")
