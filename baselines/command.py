"""A command of this folder: its options from the command line, told as paragraphs, and how it ends.

An error that can be explained is one line, and Ctrl-C no traceback.
"""

from __future__ import annotations

import ast
import inspect
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from typing import Annotated, Any, TypeVar, get_type_hints

from user_gym.errors import MissingExtra, UserGymError


@contextmanager
def command() -> Iterator[None]:
    """Around all that a command does. Exits with 1 after an error, with 130 after Ctrl-C."""
    try:
        yield
    except UserGymError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


_Kind = TypeVar("_Kind")


def arguments(kind: type[_Kind], words: str | None, args: Sequence[str] | None = None) -> _Kind:
    """The options of a command: a dataclass whose fields have docstrings.

    Args:
        kind: the dataclass.
        words: what --help says of the command: the docstring of its module.
        args: of the command line; None: the process's.

    Raises MissingExtra, and what the dataclass does.
    """
    try:
        import tyro
    except ModuleNotFoundError as error:
        raise MissingExtra("tyro", "train") from error

    if {"-h", "--help"} & {*(sys.argv[1:] if args is None else args)}:
        print(_flowing(words or "", shutil.get_terminal_size().columns), end="\n\n")

    # Not the dataclass itself: of its docstrings tyro would keep the line breaks that the source has.
    def make(**given: Any) -> _Kind:
        return kind(**given)

    hints, told = get_type_hints(kind, include_extras=True), _told(kind)
    parameters, make.__annotations__ = [], {}
    for field in fields(kind):  # pyright: ignore[reportArgumentType]
        hint = Annotated[hints[field.name], tyro.conf.arg(help=told.get(field.name, ""))]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        default = inspect.Parameter.empty if default is MISSING else default
        make.__annotations__[field.name] = hint
        parameters.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
    make.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return tyro.cli(make, description="", args=args)


def _told(kind: type) -> dict[str, str]:
    """What the docstring of each field says, on one line; a class says it anew of what it inherits."""
    found: dict[str, str] = {}
    for base in (one for one in reversed(kind.__mro__) if is_dataclass(one)):
        try:
            source = inspect.getsource(base)  # pyright: ignore[reportArgumentType]
        except OSError:  # installed without sources: options without words
            continue
        (made,) = ast.parse(textwrap.dedent(source)).body
        assert isinstance(made, ast.ClassDef)
        for field, after in pairwise(made.body):
            match field, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                    found[name] = " ".join(said.split())
    return found


def _flowing(words: str, width: int) -> str:
    """Paragraphs that fill lines of a width; what is indented stays as it is."""
    paragraphs = words.strip().split("\n\n")
    kept = [
        part if part.startswith(" ") else textwrap.fill(" ".join(part.split()), width, break_on_hyphens=False)
        for part in paragraphs
    ]
    return "\n\n".join(kept)
