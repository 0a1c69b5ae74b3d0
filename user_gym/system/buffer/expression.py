"""Boolean expressions over named columns, as SQL over whole blocks and as numpy over single steps. It parses no text.

A block is a row of the flat SQL view `chunks`; it stands for many steps, of which the row knows least and greatest values.
So an expression over steps becomes two expressions over blocks: *possibly* (some step of the block may satisfy it) and
*certainly* (every step does). A block that is possible and not certain is decided by numpy on its step columns.
A value that is not there is NULL, as in SQL: a comparison with it is neither true nor false.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from user_gym.core import Bool

Kind = Literal["text", "flag", "whole", "real", "single"]  # single: float32, and so are the numbers it is compared with
Value: TypeAlias = str | int | float
Columns: TypeAlias = Mapping[str, Any]  # an array (n,) for n steps, or one value for all of them


class Column(NamedTuple):
    """A column that expressions may name. `low` and `high` are its bounds over a block's steps, in SQL; "": not known."""

    name: str
    kind: Kind
    low: str
    high: str
    of_block: bool = False
    nullable: bool = False  # NaN in an array of steps is NULL


class Sql(NamedTuple):
    """An SQL expression and the values of its parameters, in their order."""

    text: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Constant:
    """TRUE or FALSE."""

    value: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """`left` operator `right`; values have the type of the column they are compared with."""

    operator: str  # one of = != < <= > >=
    left: Column | Value
    right: Column | Value


@dataclass(frozen=True, slots=True)
class Within:
    """`column` IN (values)."""

    column: Column
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """`column` LIKE pattern: % is any text, _ any one character; ASCII letters match in both cases."""

    column: Column
    pattern: str


@dataclass(frozen=True, slots=True)
class Missing:
    """`column` IS NULL."""

    column: Column


@dataclass(frozen=True, slots=True)
class Not:
    """NOT `of`."""

    of: Expression


@dataclass(frozen=True, slots=True)
class Joined:
    """All of `parts` (AND), or any of them (OR)."""

    every: bool
    parts: tuple[Expression, ...]


Expression: TypeAlias = Constant | Compare | Within | Like | Missing | Not | Joined

_OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRROR = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_NUMPY = {"=": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
_YES, _NO = Sql("1"), Sql("0")


def over_blocks(expression: Expression, truth: bool, sure: bool) -> Sql:
    """The blocks where the expression is `truth`: for every step of theirs if `sure`, else possibly for some step."""
    match expression:
        case Constant():
            return _YES if expression.value == truth else _NO
        case Not():
            return over_blocks(expression.of, not truth, sure)
        case Joined():
            parts = [over_blocks(part, truth, sure) for part in expression.parts]
            return _all_of(parts) if expression.every == truth else _any_of(parts)
        case Compare():
            operator = expression.operator if truth else _OPPOSITE[expression.operator]
            return _compared(operator, expression.left, expression.right, sure)
        case Within():
            return _within(expression.column, expression.values, truth, sure)
        case Like() | Missing():
            column = expression.column
            if column.of_block:
                if isinstance(expression, Missing):
                    return Sql(f"{column.low} IS {'' if truth else 'NOT '}NULL")
                return Sql(f"{column.low} {'' if truth else 'NOT '}LIKE ?", (expression.pattern,))
            if isinstance(expression, Missing) and not column.nullable:
                return _NO if truth else _YES
            return _NO if sure else _YES


def over_steps(expression: Expression, columns: Columns) -> tuple[Bool, Bool]:
    """Where the expression is true, and where it is false, for arrays of steps; a result of no dimension is of all steps."""
    match expression:
        case Constant():
            return np.asarray(expression.value), np.asarray(not expression.value)
        case Not():
            true, false = over_steps(expression.of, columns)
            return false, true
        case Joined():
            join, other = (np.logical_and, np.logical_or) if expression.every else (np.logical_or, np.logical_and)
            true, false = over_steps(expression.parts[0], columns)
            for part in expression.parts[1:]:
                one, zero = over_steps(part, columns)
                true, false = join(true, one), other(false, zero)
            return true, false
        case Compare():
            (left, here), (right, there) = _operand(expression.left, columns), _operand(expression.right, columns)
            both = here & there
            true = np.asarray(_NUMPY[expression.operator](left, right), bool) & both
            return true, both & ~true
        case Within():
            values, here = _operand(expression.column, columns)
            true = np.isin(values, np.asarray(expression.values)) & here
            return true, here & ~true
        case Like():
            values, _ = _operand(expression.column, columns)
            distinct, which = np.unique(values, return_inverse=True)
            matches = re.compile(_as_regex(expression.pattern), re.IGNORECASE | re.ASCII | re.DOTALL).fullmatch
            true = np.array([matches(text) is not None for text in distinct.tolist()], bool)[which].reshape(values.shape)
            return true, ~true
        case Missing():
            _, here = _operand(expression.column, columns)
            return ~here, here


def columns_of(expression: Expression) -> frozenset[Column]:
    """The columns that an expression names."""
    match expression:
        case Constant():
            return frozenset()
        case Not():
            return columns_of(expression.of)
        case Joined():
            return frozenset().union(*(columns_of(part) for part in expression.parts))
        case Compare():
            return frozenset(side for side in (expression.left, expression.right) if isinstance(side, Column))
        case Within() | Like() | Missing():
            return frozenset((expression.column,))


def _compared(operator: str, left: Column | Value, right: Column | Value, sure: bool) -> Sql:
    (low, high, values), (low2, high2, values2) = _bounds(left), _bounds(right)
    if not (low and low2):
        return _NO if sure else _YES
    if low == high and low2 == high2:
        return Sql(f"{low} {operator} {low2}", values + values2)
    if operator in (">", ">="):
        return _compared(_MIRROR[operator], right, left, sure)
    if operator in ("<", "<="):
        return Sql(f"{high if sure else low} {operator} {low2 if sure else high2}", values + values2)
    # Intervals that meet may hold equal values; they hold nothing else only if both are one and the same point.
    meet, join = ("=", "AND") if operator == "=" else ("!=", "OR")
    if sure == (operator == "="):
        return Sql(f"({low} {meet} {high2} {join} {high} {meet} {low2})", (values + values2) * 2)
    if sure:
        return Sql(f"({high} < {low2} OR {high2} < {low})", values + values2 + values2 + values)
    return Sql(f"({low} <= {high2} AND {low2} <= {high})", values + values2 + values2 + values)


def _within(column: Column, values: Sequence[Value], truth: bool, sure: bool) -> Sql:
    low, high, _ = _bounds(column)
    given, marks = tuple(values), ", ".join("?" * len(values))
    if not low:
        return _NO if sure else _YES
    if low == high:
        return Sql(f"{low} {'' if truth else 'NOT '}IN ({marks})", given)
    hull = (min(given), max(given))  # type: ignore[type-var]  # all of one type: the parser saw to it
    if truth and sure:
        return Sql(f"({low} = {high} AND {low} IN ({marks}))", given)
    if sure:
        return Sql(f"({high} < ? OR {low} > ?)", hull)
    if truth:
        return Sql(f"({high} >= ? AND {low} <= ?)", hull)
    return Sql(f"({low} != {high} OR {low} NOT IN ({marks}))", given)


def _bounds(side: Column | Value) -> tuple[str, str, tuple[Value, ...]]:
    return (side.low, side.high, ()) if isinstance(side, Column) else ("?", "?", (side,))


def _all_of(parts: Sequence[Sql]) -> Sql:
    return _chained([part for part in parts if part != _YES], "AND", _YES) if _NO not in parts else _NO


def _any_of(parts: Sequence[Sql]) -> Sql:
    return _chained([part for part in parts if part != _NO], "OR", _NO) if _YES not in parts else _YES


def _chained(parts: Sequence[Sql], join: str, nothing: Sql) -> Sql:
    if len(parts) <= 1:
        return parts[0] if parts else nothing
    # Halves, not a chain: SQLite bounds the depth of an expression.
    one, two = _chained(parts[: len(parts) // 2], join, nothing), _chained(parts[len(parts) // 2 :], join, nothing)
    return Sql(f"({one.text} {join} {two.text})", one.values + two.values)


def _operand(side: Column | Value, columns: Columns) -> tuple[NDArray[Any], Bool]:
    """Its values, and where there is one."""
    if not isinstance(side, Column):
        return np.asarray(side), np.asarray(True)
    values = np.asarray(columns[side.name])
    return values, ~np.isnan(values) if side.nullable else np.asarray(True)


def _as_regex(pattern: str) -> str:
    # What stands between two % is taken where it is found first, for good (an atomic group), so matching stays linear.
    first, *rest = ("".join("." if mark == "_" else re.escape(mark) for mark in part) for part in pattern.split("%"))
    if not rest:
        return first
    return first + "".join(f"(?>.*?{part})" for part in rest[:-1]) + ".*" + rest[-1]
