"""RLPD for runs of several processes: what `user-gym run` calls where its plan names no other agent, edges to act, and
`baselines.play` to find what was learned.

It knows no process.

reward = "classifier:reward.npz"   # of the plan: who rewards all robots, as --reward of baselines.rlpd

[agent.options]                    # any option of baselines.rlpd that says how to learn
demos = 20
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines import rewards
from baselines.config import Config
from baselines.pictures import SEEN, STATE
from baselines.rewards import asks_a_person, beside
from user_gym.errors import BadOption, MissingExtra, UnknownName, WrongRun
from user_gym.system import Buffer, Fresh, Mixture
from user_gym.system.checkpoints import Checkpoints
from user_gym.system.processes.folder import RunFolder

if TYPE_CHECKING:
    import gymnasium

    from baselines.rlpd import Rlpd
    from user_gym.core import Policy
    from user_gym.system.processes.judging import Seat

_OF_THE_PLAN = {"tolerance", "asynchronous", "run_dir", "film", "eval_every", "eval_episodes", "experience", "where"}
_OF_THE_PLAN |= {"metrics_port", "tensorboard", "wandb"}
_OF_THE_ENV = {"env_id", "robot", "obs", "side", "control", "hole_offset"}  # what a collector's kwargs may say of a setting
_OF_THE_ROBOT = {"address", "twin", "robots", "env_ids"}  # and what does not matter where its policy acts again


def config(options: Mapping[str, Any]) -> Config:
    """The configuration that options of a plan describe. Raises UnknownName, BadOption."""
    known = {field.name for field in fields(Config)} - _OF_THE_PLAN
    for name in options:
        if name not in known:
            raise UnknownName("option of the agent", name, known)
    return Config(**options)


def agent(observations: gymnasium.spaces.Dict, actions: gymnasium.spaces.Box, options: Mapping[str, Any]) -> Rlpd:
    """What learns, and whose policy acts. Raises BadOption."""
    chosen = config(options)
    _check_sight(observations, actions, chosen)
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtra("torch", "train") from error
    from baselines.rlpd import Rlpd

    torch.set_num_threads(1)  # for networks this small, more threads only wait for each other
    return Rlpd(observations, actions, chosen)


def _check_sight(observations: gymnasium.spaces.Dict, actions: gymnasium.spaces.Box, chosen: Config) -> None:
    """Whether robots show what the agent is to learn from. Collectors step what the plan names, as it is."""
    pictures = {str(space.shape) for space in observations.values() if space.dtype == "uint8"}
    state, axes = (observations["state"].shape or (0,))[0], (actions.shape or (0,))[0]
    felt = {STATE} if chosen.control == "tcp" else {STATE + axes, STATE + axes - 1}  # with and without a gripper's axis
    shows = pictures == {str((chosen.side, chosen.side, 3))} and state in felt
    if (chosen.obs == "pixels" and not shows) or (chosen.obs != "pixels" and pictures):
        shown = f"robots show {' and '.join(pictures) or 'no pictures'} and a state of {state}"
        options = f"{{ env_id = 'what env was', side = {chosen.side} }}"
        cure = f"env = 'baselines.pictures:{SEEN}' of the collectors, with kwargs = {options}"
        if chosen.obs != "pixels":
            cure += ", and obs = 'pixels' of agent.options"
        allowed = f"'state', or 'pixels' with pictures of side {chosen.side} and no more state than the arm feels; {shown}"
        raise BadOption("obs", chosen.obs, allowed, cure)


def policy(observations: gymnasium.spaces.Dict, actions: gymnasium.spaces.Box, **options: Any) -> Policy:
    """What acts at an edge, as `user-gym edge --policy baselines.plan:policy`: options are those that the plan's agent has."""
    return agent(observations, actions, options).policy


def sampler(buffer: Buffer | Fresh, options: Mapping[str, Any]) -> Mixture:
    """Half of each batch from demonstrations."""
    from baselines.experience import mixture

    chosen = config(options)
    if isinstance(buffer, Fresh) and asks_a_person(chosen.reward):
        cure = "leave one of them out: verdicts that come late are no part of what is fresh"
        raise BadOption("reward", chosen.reward, "nobody who may answer late, in a plan with a table [freshness]", cure)
    return mixture(buffer, None, chosen)


def prepare(buffer: Buffer, options: Mapping[str, Any]) -> None:
    """Store the expert's demonstrations that are missing. It loads no torch: it runs where the buffer is written."""
    from baselines.episodes import demonstrate, make
    from baselines.experience import DEMOS, of

    chosen = config(options)
    whole = [f"{DEMOS} AND (terminated OR truncated)"]
    if len(chosen.each) > 1:  # a kill may have come between the demonstrations of two of them
        whole = [f"{whole[0]} AND {of(one)}" for one in chosen.each]
    if any(len(buffer.view(condition)) < chosen.demos for condition in whole):
        with closing(make(chosen)) as env:
            demonstrate(env, buffer, chosen, chosen.reward)


def judge(env: gymnasium.Env[Any, Any], reward: str, seat: Seat) -> AbstractContextManager[gymnasium.Env[Any, Any]]:
    """As `Plan.judge`: the words of --reward. Raises BadOption, WrongRun."""
    return beside(env, reward, seat.number, seat.first_episode, seat.late, seat.shown)


def meant(reward: str) -> str:
    """As `Plan.judge`: what of the words of --reward makes two runs different. Raises BadOption."""
    return rewards.meant(reward)


def learned(folder: Path, elsewhere: bool = False) -> tuple[Config, Callable[[], Path]]:
    """What such a run is, as one of baselines.rlpd at its first robot's environment, and what finds its newest agent.

    Args:
        folder: of the run.
        elsewhere: the policy is to act in another environment than that one.

    Raises:
        WrongRun: there is no such run; finding raises it where there is no checkpoint yet.
        BadOption: its environment has options that a run of baselines.rlpd has not.
    """
    run = RunFolder(folder)
    plan = run.plan()
    if plan.agent.make != "baselines.plan:agent":
        raise WrongRun(f"{folder} is a run of {plan.agent.make}; allowed: of baselines.plan:agent, which is RLPD")
    first = plan.collectors[0]
    sees = first.env.rpartition(":")[2] == SEEN
    there = {"env_id": first.env, "robot": first.robot, **({"obs": "pixels"} if sees else {}), **first.kwargs}
    if (others := sorted(there.keys() - _OF_THE_ENV - _OF_THE_ROBOT)) and not elsewhere:
        cure = "name by --env-id where it is to act, as that id is by default"
        raise BadOption(f"kwargs of {first.name!r}", ", ".join(others), ", ".join(sorted(_OF_THE_ENV | _OF_THE_ROBOT)), cure)
    said = {name: value for name, value in there.items() if name in _OF_THE_ENV and value not in ("", None)}

    def newest() -> Path:
        found = Checkpoints(run.learner).agent()
        if found is None:
            raise WrongRun(f"{folder} holds no checkpoint yet; wait for the learner's first one")
        return found

    return config(said | plan.options), newest
