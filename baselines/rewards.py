"""Who rewards a run: `--reward` becomes a judge around its environment. It knows no algorithm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
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
    """Before anything is kept: whether all classifiers can be read and know the environment's state, and a keyboard is there.

    Raises:
        WrongRun: a file holds no classifier.
        BadOption: it was trained on another state.
        MissingSystem: this process has no terminal.
    """
    for term in (term for added in parse(text) for term in added):
        if term.kind == CLASSIFIER:
            Classifier.load(Path(term.argument)).check(env.observation_space)  # pyright: ignore[reportArgumentType]
        elif term.argument == KEYBOARD:
            with closing(_keyboard()) as keyboard:
                keyboard.connect()


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
    with ExitStack() as opened:
        tell = opened.enter_context(Verdicts(buffer)).tell if asks_a_person(text) else None
        yield opened.enter_context(_heard(env, text, tell, first_episode, lambda url: print(f"verdicts: {url}")))


def beside(
    env: gymnasium.Env[Any, Any],
    text: str,
    number: int,
    first_episode: int,
    late: Callable[[int, bool], object],
    shown: Callable[[str], object],
) -> AbstractContextManager[gymnasium.Env[Any, Any]]:
    """As `judged`, of one of several robots that have a process each: a person has a page for each of them.

    Args:
        env: collects.
        text: names the judges.
        number: 0, 1, ... of the robot: its page is at the port that was named plus this number; where 0 was, at a free one.
        first_episode: number of the first episode that is collected.
        late: takes (episode, success) of verdicts on episodes that are over.
        shown: takes the address of the page.

    Raises:
        BadOption: nobody is named so, or not there; or a classifier was trained on another state. Nothing is open then.
        WrongRun: a file holds no classifier.
    """
    sums = [[_beside(text, term, number) for term in added] for added in parse(text)]
    check(text, env)
    return _heard(env, ",".join("+".join(term.named for term in added) for added in sums), late, first_episode, shown)


@contextmanager
def _heard(
    env: gymnasium.Env[Any, Any],
    text: str,
    late: Callable[[int, bool], object] | None,
    first_episode: int,
    shown: Callable[[str], object],
) -> Iterator[gymnasium.Env[Any, Any]]:
    people = [term.argument for added in parse(text) for term in added if term.kind == "human"]
    with ExitStack() as opened:
        human = None
        if people and late is not None:
            human = Human(_keyboard() if people == [KEYBOARD] else None, late, first_episode)
        reward = _reward(text, human)
        if isinstance(reward, EpisodicReward):
            opened.callback(reward.close)
        if human is not None and people != [KEYBOARD]:
            shown(opened.enter_context(VerdictPage(human, int(people[0]))).url)
        yield RewardFrom(env, reward)


def _beside(text: str, term: Term, number: int) -> Term:
    """What one robot of several asks of what was named."""
    if term.kind != "human":
        return term
    if term.argument == KEYBOARD:
        cure = "name a page: human:8090, then 8091 for the second robot"
        raise BadOption("reward", text, "human:PORT where each robot has a process of its own, which has no keyboard", cure)
    port = int(term.argument)
    if port and port + number > 65535:
        raise BadOption("reward", text, f"a port of at most {65535 - number}: robot {number + 1} takes that plus {number}")
    return term._replace(argument=str(port and port + number))


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
