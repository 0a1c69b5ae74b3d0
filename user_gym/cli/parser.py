"""How commands read their line: as argparse does, and a word that is none gets the one that was probably meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from user_gym.errors import nearest


class Parser(argparse.ArgumentParser):
    """Of the whole command and, as argparse makes those of the same class, of each command below it."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As argparse; but what it does not know is refused here, by the command that was asked, which knows its options."""
        chosen, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            hints = [_meant(word.partition("=")[0], options) for word in unknown if word.startswith("-")]
            self.error(f"unrecognized arguments: {' '.join(unknown)}" + next(filter(None, hints), ""))
        return chosen, unknown

    def error(self, message: str) -> NoReturn:
        """As argparse, with the command that was probably meant."""
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        super().error(message + (_meant(wrong[1], re.findall(r"[\w-]+", wrong[2])) if wrong else ""))


def _meant(word: str, known: Iterable[str]) -> str:
    asked = nearest(word, known)
    return asked and f"; {asked}"
