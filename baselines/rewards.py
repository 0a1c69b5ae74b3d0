"""Who rewards a run: `--reward` becomes a judge around its environment. It knows no algorithm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium

from user_gym.core import EpisodicReward, Reward, Storage
from user_gym.errors import BadOption
from user_gym.rewards import Classifier, FirstVerdict, Human, Sum, VerdictPage, rule
from user_gym.system import Buffer
from user_gym.system.verdicts import Judged, Verdicts
from user_gym.wrappers import RewardFrom

RULE = "rule"
CLASSIFIER = "classifier"
KEYBOARD = "keyboard"
_ALLOWED = "rule | classifier:FILE | human:PORT | human:keyboard, joined by , (the first verdict) or + (their sum)"


class Term(NamedTuple):
    """One judge, as it was named."""

    kind: str  # "rule" | "classifier" | "human"
    argument: str  # a file, a port, "keyboard"

    @property
    def named(self) -> str:
        """As it is written."""
        return f"{self.kind}:{self.argument}" if self.argument else self.kind


def parse(text: str) -> tuple[tuple[Term, ...], ...]:
    """Sums, the one that matters most first. Raises BadOption."""
    sums = tuple(tuple(_term(text, part.strip()) for part in added.split("+")) for added in text.split(","))
    if sum(term.kind == "human" for added in sums for term in added) > 1:
        raise BadOption("reward", text, "one person", "name human once")
    for first, after in pairwise(sums):
        if any(term.kind != "human" for term in first):  # it has a verdict at every step
            never = "+".join(term.named for term in after)
            raise BadOption("reward", f"{text}, of which {never!r} never counts", _ALLOWED, "put the person first")
    return sums


def meant(text: str) -> str:
    """What of it makes two runs different: files resolved, and not the port at which a person is asked."""
    return ",".join("+".join(_meant(term).named for term in added) for added in parse(text))


def check(text: str, env: gymnasium.Env[Any, Any]) -> None:
    """Before anything is kept: whether all classifiers can be read and know the environment's state.

    Raises:
        WrongRun: a file holds no classifier.
        BadOption: it was trained on another state.
    """
    for term in (term for added in parse(text) for term in added if term.kind == CLASSIFIER):
        Classifier.load(Path(term.argument)).check(env.observation_space)  # pyright: ignore[reportArgumentType]


def asks_a_person(text: str) -> bool:
    """Whether verdicts may come late."""
    return any(term.kind == "human" for added in parse(text) for term in added)


def relabelled(buffer: Buffer, where: str, text: str) -> Storage:
    """The part of the buffer that a condition selects, with late verdicts in place of rewards where there may be some."""
    view = buffer.view(where)
    return Judged(buffer, view) if asks_a_person(text) else view


def without_people(env: gymnasium.Env[Any, Any], text: str) -> gymnasium.Env[Any, Any]:
    """The environment, judged by all but people; by the rule where that leaves nobody. Raises WrongRun."""
    return env if text == RULE else RewardFrom(env, _reward(text, None))


@contextmanager
def judged(env: gymnasium.Env[Any, Any], text: str, buffer: Buffer, first_episode: int) -> Iterator[gymnasium.Env[Any, Any]]:
    """The environment with the reward that was chosen; what it opens is closed at the end, the environment is not.

    Args:
        env: collects.
        text: names the judges.
        buffer: where late verdicts are kept.
        first_episode: number of the first episode that is collected.

    Raises:
        BadOption: nobody is named so.
        WrongRun: a file holds no classifier.
        Busy: the port of the page is taken.
    """
    if text == RULE:
        yield env
        return
    people = [term.argument for added in parse(text) for term in added if term.kind == "human"]
    with ExitStack() as opened:
        human = None
        if people:
            verdicts = opened.enter_context(Verdicts(buffer))
            human = Human(_keyboard() if people == [KEYBOARD] else None, verdicts.tell, first_episode)
        reward = _reward(text, human)
        if isinstance(reward, EpisodicReward):
            opened.callback(reward.close)
        if human is not None and people != [KEYBOARD]:
            page = opened.enter_context(VerdictPage(human, int(people[0])))
            print(f"verdicts: {page.url}")
        yield RewardFrom(env, reward)


def _term(text: str, part: str) -> Term:
    kind, _, argument = part.partition(":")
    port = argument.isascii() and argument.isdigit() and len(argument) <= 5 and int(argument) <= 65535
    if (
        (kind == RULE and part == RULE)
        or (kind == CLASSIFIER and argument)
        or (kind == "human" and (port or argument == KEYBOARD))
    ):
        return Term(kind, argument)
    raise BadOption("reward", text if part == text else f"{text}, in which {part!r}", _ALLOWED)


def _meant(term: Term) -> Term:
    if term.kind == CLASSIFIER:
        return term._replace(argument=str(Path(term.argument).resolve()))
    return term._replace(argument="") if term.argument.isdigit() else term


def _reward(text: str, human: Human | None) -> Reward:
    """As named; without a person the terms of one are left out."""
    made = [[_judge(term, human) for term in added if human is not None or term.kind != "human"] for added in parse(text)]
    sums: list[Reward] = [added[0] if len(added) == 1 else Sum(added) for added in made if added]
    return FirstVerdict(sums or [rule])


def _judge(term: Term, human: Human | None) -> Reward:
    if term.kind == CLASSIFIER:
        return Classifier.load(Path(term.argument))
    return rule if human is None or term.kind == RULE else human


def _keyboard() -> Any:
    from user_gym.real.keyboard import Keyboard  # not above: termios is not on every system

    return Keyboard()
