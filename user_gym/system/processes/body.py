"""The environment of a collector, built from what the plan says. It knows no robot: `gymnasium.make` finds it by its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import gymnasium
from gymnasium.envs.registration import parse_env_id

from user_gym.errors import BadOption, UnknownName
from user_gym.system.processes.journal import say
from user_gym.system.processes.plan import CollectorPlan


def build(plan: CollectorPlan) -> gymnasium.Env[Any, Any]:
    """Make it. No robot is connected before its first reset. Raises UnknownName, BadOption."""
    kwargs = dict(plan.kwargs)
    for name, value in (("robot", plan.robot), ("device", plan.device)):
        if value:
            kwargs.setdefault(name, value)
    try:
        return gymnasium.make(plan.env, **kwargs)
    except (gymnasium.error.NameNotFound, gymnasium.error.NamespaceNotFound) as error:
        if _is_known(plan.env):  # then it is one that this environment wraps
            allowed = f"arguments that {plan.env} takes"
            raise BadOption(f"kwargs of {plan.name!r}", kwargs, allowed, str(error)) from error
        cure = "name the module that registers it, as 'module:Id'"
        raise UnknownName("env", plan.env, [name for name in gymnasium.registry if "/" in name], cure) from error
    except ModuleNotFoundError as error:
        raise BadOption(f"env of {plan.name!r}", plan.env, "an id of a module that can be imported", str(error)) from error
    except TypeError as error:
        raise BadOption(f"kwargs of {plan.name!r}", kwargs, f"arguments that {plan.env} takes", str(error)) from error


def _is_known(env_id: str) -> bool:
    """Whether an environment of that name is registered, in whatever version; its module was imported."""
    wanted = parse_env_id(env_id.rpartition(":")[2])[:2]
    return any((spec.namespace, spec.name) == wanted for spec in gymnasium.registry.values())


def shared(collectors: Sequence[CollectorPlan]) -> gymnasium.Env[Any, Any]:
    """The first one's environment, once each other one is known to see and do the same: one agent learns from all.

    It is the caller's to close, and no robot has moved. Raises UnknownName, BadOption.
    """
    first, *others = collectors
    env, built = build(first), [_kind(first)]
    try:
        mine = form(env)
        for other in others:
            if (kind := _kind(other)) in built:
                continue
            built.append(kind)
            if (theirs := _form_of(other)) not in ("", mine):
                allowed = f"{mine}, as {first.name!r} has: one agent learns from all"
                raise BadOption(f"robot {other.name!r}", theirs, allowed, "give each kind a run of its own")
    except BaseException:
        env.close()
        raise
    return env


def _form_of(plan: CollectorPlan) -> str:
    """As `form`; empty where it cannot be built here, which its own process says, where it matters."""
    try:
        with closing(build(plan)) as env:
            return form(env)
    except Exception as error:  # code of whoever made the environment may raise anything
        say(f"{plan.name} is not compared with the others: {type(error).__name__}: {error}")
        return ""


def _kind(plan: CollectorPlan) -> tuple[Any, ...]:
    """What its spaces can depend on."""
    return plan.env, plan.robot, plan.device, plan.kwargs


def form(env: gymnasium.Env[Any, Any]) -> str:
    """Names, shapes and dtypes of what is seen and done: what robots that one agent learns from have in common."""
    return f"{_form(env.observation_space)} -> {_form(env.action_space)}"


def _form(space: Any) -> str:
    parts = getattr(space, "spaces", None)
    if isinstance(parts, Mapping):
        return "{" + ", ".join(f"{name}: {_form(parts[name])}" for name in sorted(parts)) + "}"
    return f"{space.dtype}{space.shape}"
