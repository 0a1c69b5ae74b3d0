"""Text -> expression: the grammar of conditions. It knows neither which columns there are nor what becomes of them.

    condition  = and { OR and }                      and  = not { AND not }
    not        = NOT not | ( condition ) | comparison
    comparison = operand [= | == | != | <> | < | <= | > | >= operand] | column [NOT] BETWEEN operand AND operand
               | column [NOT] IN (value, ...) | column [NOT] LIKE 'pattern' | column IS [NOT] NULL
    operand    = column | value                      value = 12 | -0.5 | 1e3 | 'text' | TRUE | FALSE

Words of the grammar may be written in either case, columns as they are, also "in double quotes"; a quote within a text is
doubled; a column that is a flag stands alone or is compared with TRUE, FALSE, 1 or 0. There is nothing else: no function,
subquery, arithmetic, parameter or comment. Length, depth and the number of comparisons are bounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

import numpy as np

from user_gym.errors import BadOption, nearest
from user_gym.system.buffer.expression import Column, Compare, Constant, Expression, Joined, Like, Missing, Not, Value, Within

LONGEST = 262_144  # characters
DEEPEST = 50  # brackets and NOTs within each other
MOST = 4096  # comparisons and listed values; each is bound twice at most in each of two expressions, SQLite takes 32 766
_LONGEST_PATTERN = 1000  # characters; SQLite's own bound is 50 000

_WORDS = frozenset(("AND", "OR", "NOT", "BETWEEN", "IN", "LIKE", "IS", "NULL", "TRUE", "FALSE"))
_COMPARISONS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_KINDS = {"text": "text", "flag": "a flag", "whole": "a number", "real": "a number", "single": "a number"}
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))|(?P<text>'(?:[^']|'')*')|(?P<name>[^\W\d]\w*)
    |"(?P<quoted>(?:[^"]|"")+)"|(?P<mark><=|>=|<>|!=|==|[=<>(),]|[+-](?=[\d.])))""",
    re.VERBOSE,
)
_SINGLE = float(np.finfo(np.float32).max)


def expression(text: str, known: Mapping[str, Column]) -> Expression:
    """What a condition over the known columns means.

    Raises:
        BadOption: what is wrong and where, and what would do; where a column is missing or unknown, all that there are.
    """
    return _Parser(text, known).parse()


class _Token(NamedTuple):
    """`kind` is a group of _TOKEN, "word" or "end"; `said` the word in capitals, the column, or the mark; `at` from 1."""

    kind: str
    said: str
    at: int


class _Parser:
    """One pass over the tokens."""

    def __init__(self, text: str, known: Mapping[str, Column]) -> None:
        self._text, self._known = text, known
        self._left = MOST
        if not isinstance(text, str):
            raise BadOption("view condition", text, "text")
        if len(text) > LONGEST:
            self._fail(LONGEST + 1, f"{len(text)} characters", f"write at most {LONGEST}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            self._fail(error.start + 1, "half a character", "write whole Unicode characters")
        if "\0" in text:
            self._fail(text.index("\0") + 1, "the character NUL", "leave it out")
        self._tokens = self._split()
        self._next = 0

    def parse(self) -> Expression:
        made = self._joined(0)
        token = self._peek()
        if token.kind != "end":
            self._fail(token.at, f"{token.said!r} after a whole condition", "join conditions by AND or OR, and match brackets")
        return made

    def _joined(self, depth: int) -> Expression:
        parts = [self._every(depth)]
        while self._take("OR"):
            parts.append(self._every(depth))
        return parts[0] if len(parts) == 1 else Joined(False, tuple(parts))

    def _every(self, depth: int) -> Expression:
        parts = [self._negated(depth)]
        while self._take("AND"):
            parts.append(self._negated(depth))
        return parts[0] if len(parts) == 1 else Joined(True, tuple(parts))

    def _negated(self, depth: int) -> Expression:
        at = self._peek().at
        if depth > DEEPEST:
            self._fail(at, f"more than {DEEPEST} brackets and NOTs within each other", "write it flatter")
        if self._take("NOT"):
            return Not(self._negated(depth + 1))
        if self._take("("):
            inner = self._joined(depth + 1)
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Expression:
        start = self._peek()
        left = self._operand()
        self._count(start.at)
        token = self._peek()
        if token.kind == "mark" and token.said in _COMPARISONS:
            self._next += 1
            return self._compare(_COMPARISONS[token.said], left, self._operand(), token.at)
        negative = self._take("NOT")
        word = self._peek()
        made = self._worded(left, start) if word.kind == "word" and word.said in ("BETWEEN", "IN", "LIKE", "IS") else None
        if negative and made is None:
            self._fail(word.at, self._say(word), "after NOT: BETWEEN, IN or LIKE")
        if made is None:
            if isinstance(left, bool):
                return Constant(left)
            if not isinstance(left, Column) or left.kind != "flag":
                self._fail(
                    start.at, f"{self._say(start)} alone", "only a flag stands alone; compare it: = != < <= > >= IN LIKE"
                )
            return Compare("!=", left, 0)
        if negative and isinstance(made, (Missing, Not)):
            self._fail(word.at, "NOT IS", "write IS NOT NULL")
        return Not(made) if negative else made

    def _worded(self, left: Column | Value, start: _Token) -> Expression:
        word = self._peek()
        self._next += 1
        if not isinstance(left, Column):
            self._fail(start.at, f"{self._say(start)} before {word.said}", "write a column there")
        if word.said == "BETWEEN":
            least = self._operand()
            self._expect("AND")
            most = self._operand()
            return Joined(True, (self._compare(">=", left, least, word.at), self._compare("<=", left, most, word.at)))
        if word.said == "IS":
            negative = self._take("NOT")
            self._expect("NULL")
            return Not(Missing(left)) if negative else Missing(left)
        token = self._peek()
        if word.said == "LIKE":
            pattern = self._operand()
            if left.kind != "text" or not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN:
                self._fail(
                    token.at,
                    f"{self._say(token)} after LIKE",
                    f"text columns, and 'a pattern' up to {_LONGEST_PATTERN} long",
                )
            return Like(left, pattern)
        self._expect("(")
        values = [self._listed(left)]
        while self._take(","):
            values.append(self._listed(left))
        self._expect(")")
        return Within(left, tuple(values))

    def _listed(self, column: Column) -> Value:
        token = self._peek()
        value = self._operand()
        self._count(token.at)
        if isinstance(value, Column):
            self._fail(token.at, f"column {value.name!r} in a list", "list values: 12, 'text'")
        return self._as(column, value, token.at)

    def _operand(self) -> Column | Value:
        token = self._peek()
        self._next += 1
        if token.kind == "text":
            return token.said
        if token.kind == "number":
            return self._number(token)
        if token.kind == "mark" and token.said in "+-" and self._peek().kind == "number":
            number = self._number(self._peek())
            self._next += 1
            return -number if token.said == "-" else number
        if token.kind == "word" and token.said in ("TRUE", "FALSE"):
            return token.said == "TRUE"
        if token.kind == "name":
            return self._column(token)
        if token.said == "NULL":
            self._fail(token.at, "NULL as a value", "nothing equals NULL; write: column IS NULL")
        if token.said == "(":
            self._fail(token.at, "a bracket around a value", "no subqueries and no arithmetic: columns and values stand bare")
        cure = f"a column or a value belongs here; columns: {', '.join(sorted(self._known))}"
        self._fail(token.at, self._say(token), cure)

    def _column(self, token: _Token) -> Column:
        if self._peek().said == "(" and token.said not in self._known:
            self._fail(token.at, f"the function {token.said!r}", "there are no functions")
        if token.said not in self._known:
            cure = f"text stands in single quotes: 'franka-fr3'; columns: {', '.join(sorted(self._known))}"
            asked = nearest(token.said.lower(), self._known)
            self._fail(token.at, f"unknown column {token.said!r}", f"{asked} {cure}".lstrip())
        return self._known[token.said]

    def _compare(self, operator: str, left: Column | Value, right: Column | Value, at: int) -> Expression:
        if isinstance(left, Column) and not isinstance(right, Column):
            right = self._as(left, right, at)
        elif isinstance(right, Column) and not isinstance(left, Column):
            left = self._as(right, left, at)
        elif len({side.kind == "text" if isinstance(side, Column) else isinstance(side, str) for side in (left, right)}) > 1:
            self._fail(at, "text compared with a number", "compare text with text, numbers with numbers")
        return Compare(operator, left, right)

    def _as(self, column: Column, value: Value, at: int) -> Value:
        """The value in the column's type."""
        if isinstance(value, str) != (column.kind == "text"):
            cure = "text stands in single quotes: 'franka-fr3'" if column.kind == "text" else "compare it with a number"
            self._fail(at, f"{column.name!r}, which is {_KINDS[column.kind]}, compared with {value!r}", cure)
        if isinstance(value, str):
            return value
        if column.kind == "single" and abs(value) <= _SINGLE:
            return float(np.float32(value))  # what a float32 column holds where 0.1 was meant
        if column.kind in ("single", "real"):
            return float(value)
        return int(value) if float(value).is_integer() and abs(value) < 2**63 else value

    def _number(self, token: _Token) -> int | float:
        number = float(token.said)
        if math.isinf(number):
            self._fail(token.at, token.said, "write a number below 1.8e308")
        return int(token.said) if token.said.isdecimal() and number < 2**63 else number

    def _count(self, at: int) -> None:
        self._left -= 1
        if self._left < 0:
            self._fail(at, f"more than {MOST} comparisons and values", "select by a range or by another column")

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, said: str) -> bool:
        token = self._peek()
        found = token.kind in ("word", "mark") and token.said == said
        self._next += found
        return found

    def _expect(self, said: str) -> None:
        token = self._peek()
        if not self._take(said):
            self._fail(token.at, self._say(token), f"{said} belongs here")

    def _split(self) -> list[_Token]:
        tokens, at, text = list[_Token](), 0, self._text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            kind = match.lastgroup if match else None
            if match is None or kind is None:
                begins = at + len(text[at:]) - len(text[at:].lstrip())
                self._reject(begins + 1, text[begins : begins + 2])
            said = match[kind]
            begins = match.start(kind) - (kind == "quoted") + 1
            if kind == "name" and said.upper() in _WORDS:
                kind, said = "word", said.upper()
            elif kind == "quoted":
                kind, said = "name", said.replace('""', '"')
            elif kind == "text":
                said = said[1:-1].replace("''", "'")
            tokens.append(_Token(kind, said, begins))
            at = match.end()
        return [*tokens, _Token("end", "", len(text) + 1)]

    def _reject(self, at: int, begin: str) -> NoReturn:
        """Characters that begin no token."""
        if begin == '""':
            self._fail(at, "a column without a name", "text stands in single quotes: ''")
        if begin[0] in "'\"":
            self._fail(at, f"no second {begin[0]}", "close the text: 'franka-fr3'")
        self._fail(at, repr(begin), "there are no comments, parameters, arithmetic or statements")

    def _say(self, token: _Token) -> str:
        return "the end" if token.kind == "end" else repr(token.said)

    def _fail(self, at: int, what: str, cure: str) -> NoReturn:
        shown = self._text if len(self._text) <= 300 else self._text[:300] + "..."
        allowed = "one condition, such as \"robot = 'franka-fr3' AND success\""
        raise BadOption("view condition", shown, allowed, f"at position {at}: {what}; {cure}")
