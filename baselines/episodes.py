"""Episodes of a baseline: the environment, the expert's demonstrations, and evaluation. No learning here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import compress
from typing import Any

import gymnasium

from baselines.config import Setting
from baselines.experience import DEMOS, newest, of
from baselines.pictures import Seen
from baselines.relative import Relative
from baselines.rewards import RULE, without_people
from user_gym.core import F32, Policy
from user_gym.embodiment import Embodied, Label, Turns
from user_gym.errors import BadOption, UnknownName, UserGymError
from user_gym.system import Buffer, ChunkBuilder, spec_hash
from user_gym.tasks.cap_tighten_expert import CapTightenExpert
from user_gym.tasks.charger_expert import ChargerExpert
from user_gym.tasks.expert import PegInsertExpert
from user_gym.tasks.pick_place_expert import PickPlaceExpert
from user_gym.tasks.table_cleanup_expert import TableCleanupExpert

# Seeds of the first episode, then one up each; the same for all runs. The episodes that sum up a run are others than those
# that are looked at on the way, by which its hyperparameters were chosen.
GLANCE_SEED = 1_000_000
EVALUATION_SEED = 3_000_000
DEMO_SEED = 2_000_000  # of a run's first demonstration, plus the run's own seed
# Which tasks can be demonstrated, by name: (task, noise, seed) -> a hand with `watch(scene)`, `reset()` and `action(state)`.
EXPERTS: Mapping[str, Callable[[Any, float, int], Any]] = {
    "PegInsert": PegInsertExpert,
    "Charger": ChargerExpert,
    "CapTighten": CapTightenExpert,
    "PickPlace": PickPlaceExpert,
    "TableCleanup": TableCleanupExpert,
}
_PATIENCE = 20  # episodes in a row without success before the expert gives up


def make(config: Setting, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """The environment that a configuration names; of several bodies, one in which they take turns.

    Raises:
        UnknownName: no such id.
        BadOption: an option that this environment does not take, demonstrations of a task that has no expert, or bodies that
            cannot share a policy.
    """
    if len(config.each) == 1:
        return _alone(config, render_mode)
    made: dict[Label, gymnasium.Env[Any, Any]] = {}
    try:
        for one in config.each:
            made[label(one)] = _alone(one, render_mode)
        return Turns(made)
    except BaseException:
        for env in made.values():
            env.close()
        raise


def label(config: Setting) -> Label:
    """What the experience of a setting's only body is known by."""
    return Label(config.robot, config.task)


def bodies(env: gymnasium.Env[Any, Any], config: Setting) -> Mapping[str, gymnasium.Env[Any, Any]]:
    """Each body's part of an environment that `make` made, by the robot's name, or the task's, or both where both differ."""
    if not isinstance(env, Turns):
        return {config.robot: env}
    several = [len({*of}) > 1 for of in zip(*env.bodies, strict=True)]
    return {" ".join(compress(label, several)): body for label, body in env.bodies.items()}


def _alone(config: Setting, render_mode: str | None) -> gymnasium.Env[Any, Any]:
    if config.env_id not in gymnasium.registry:
        raise UnknownName("env_id", config.env_id, [name for name in gymnasium.registry if name.startswith("User/")])
    options: dict[str, Any] = {"robot": config.robot, "obs": config.obs, "control": config.control}
    if config.hole_offset is not None:  # an option of the task, which refuses it by name where it has no hole
        options["hole_offset"] = config.hole_offset
    options |= {name: value for name in ("address", "twin") if (value := getattr(config, name)) is not None}
    try:
        env = gymnasium.make(config.env_id, render_mode=render_mode, **options)
    except TypeError as error:  # a constructor without these options
        raise BadOption("env_id", config.env_id, "an environment of user_gym: a robot and a task") from error
    name = getattr(getattr(env.unwrapped, "task", None), "name", None)
    if config.demos and name not in EXPERTS:
        env.close()
        known = ", ".join(sorted(EXPERTS))
        raise BadOption("env_id", config.env_id, f"with demonstrations, a task that has an expert: {known}", "use --demos 0")
    if config.obs == "pixels":
        return Seen(env, config.side)
    return Relative(env) if config.relative and env.unwrapped.task.scene_keys else env  # pyright: ignore[reportAttributeAccessIssue]


def hand(env: gymnasium.Env[Any, Any], noise: float = 0.0, seed: int = 0) -> Any:
    """The scripted hand of an environment's task, which sees what the environment's scene tells."""
    core: Any = env.unwrapped
    made = EXPERTS[core.task.name](core.task, noise, seed)
    made.watch(lambda: core.scene)
    return made


def demonstrate(env: gymnasium.Env[Any, Any], buffer: Buffer, config: Setting, reward: str = RULE) -> None:
    """Store successful episodes of the scripted expert until each body has `config.demos`.

    Each is one chunk, so a kill leaves whole ones. Those that are missing then are new ones: none is repeated.

    Args:
        env: as `make` made it.
        buffer: open to write.
        config: of the run.
        reward: who says which are successful, as --reward; people are not asked.

    Raises:
        BadOption, WrongRun: nobody of that name rewards.
        UserGymError: the expert keeps failing.
    """
    for one, body in zip(config.each, bodies(env, config).values(), strict=True):
        wide = body.layout.wide if isinstance(body, Embodied) else lambda action: action
        where = f"{DEMOS} AND {of(one)}" if len(config.each) > 1 else DEMOS
        _demonstrate(without_people(body, reward), buffer, one, where, wide)


def _demonstrate(env: gymnasium.Env[Any, Any], buffer: Buffer, config: Setting, where: str, wide: Callable[[F32], F32]) -> None:
    kept = len(buffer.view(f"{where} AND (terminated OR truncated)"))
    if kept >= config.demos:
        return
    last = newest(buffer, DEMOS)
    episode = first = 0 if last is None else last.episode + 1
    task = env.unwrapped.task  # pyright: ignore[reportAttributeAccessIssue]
    expert = hand(env, config.demo_noise, config.seed + first)
    spaces = spec_hash(env.observation_space, env.action_space)
    builder = ChunkBuilder(
        "expert", config.robot, task.name, kind="demo", max_seconds=1e6, env_id=config.env_id, spec_hash=spaces
    )
    failed = 0
    while kept < config.demos:
        obs, _ = env.reset(seed=DEMO_SEED + config.seed + first if episode == first else None)
        expert.reset()
        builder.start(obs, episode)
        chunk = None
        while chunk is None:
            action = wide(expert.action(env.unwrapped.state))  # pyright: ignore[reportAttributeAccessIssue]
            obs, reward, terminated, truncated, info = env.step(action)
            chunk = builder.add(action, float(reward), terminated, truncated, info, obs, -1)
        episode += 1
        failed += 1
        if chunk.success.any():
            kept, failed = kept + (not buffer.append(chunk).repeated), 0
        elif failed == _PATIENCE:
            raise UserGymError(
                f"the expert of {task.name} failed {failed} times in a row with demo_noise {config.demo_noise}: use less noise"
            )


def evaluate(
    env: gymnasium.Env[Any, Any],
    policy: Policy,
    episodes: int,
    frames: list[Any] | None = None,
    first_seed: int = EVALUATION_SEED,
    told: Callable[[str], object] = lambda line: None,
    deterministic: bool = True,
) -> tuple[float, float]:
    """Success rate and mean length of episodes with fixed seeds; pictures go to `frames`, progress to `told`.

    Where they are not deterministic, each action is drawn as in training; an episode's seed is also that of its actions.
    """
    successes = steps = 0
    for episode in range(episodes):
        obs, info = env.reset(seed=first_seed + episode)
        policy.reset(first_seed + episode)
        over = False
        while not over:
            obs, _, terminated, truncated, info = env.step(policy.act(obs, deterministic).actions[0])
            over, steps = terminated or truncated, steps + 1
            if frames is not None:
                frames.append(env.render())
        successes += info["is_success"]
        told(f"episode {episode + 1:3d} of {episodes}: {'success' if info['is_success'] else 'failure'}, {successes} so far")
    return successes / episodes, steps / episodes
