"""A condition over experience, such as "robot = 'franka-fr3' AND success AND policy_version > 100": the columns it may name,
the blocks it selects (as SQL) and the steps (as numpy). It knows no database and no file.

The grammar is in `grammar`. Text never reaches SQLite: what does is written here from the parsed expression, with bound
parameters; so a condition may come from a configuration file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from user_gym.core import Bool
from user_gym.system.buffer.expression import (
    Column,
    Columns,
    Expression,
    Joined,
    Kind,
    Sql,
    columns_of,
    over_blocks,
    over_steps,
)
from user_gym.system.buffer.grammar import expression

# Of the block, or of its episode: one value for all its steps. These are columns of the SQL view `chunks`.
OF_BLOCK: Mapping[str, Kind] = {
    "source": "text", "robot": "text", "task": "text", "kind": "text", "env_id": "text", "spec_hash": "text",
    "episode": "whole", "sequence": "whole", "steps": "whole", "first": "whole", "wall_time": "real",
    "success": "flag",  # of the whole episode as known so far
    "return": "real",  # sum of the block's rewards
    "interventions": "whole",  # steps
    "policy_version_min": "whole", "policy_version_max": "whole", "reward_min": "single", "reward_max": "single",
}  # fmt: skip
# Of each step: kind, least and greatest value over a block's steps in terms of `chunks`.
OF_STEP: Mapping[str, tuple[Kind, str, str]] = {
    "policy_version": ("whole", "chunks.policy_version_min", "chunks.policy_version_max"),
    "reward": ("single", "chunks.reward_min", "chunks.reward_max"),
    "time": ("real", "chunks.time_min", "chunks.time_max"),
    "is_intervention": ("flag", "(chunks.interventions = chunks.steps)", "(chunks.interventions > 0)"),
    "terminated": ("flag", "(chunks.terminated AND chunks.steps = 1)", "chunks.terminated"),  # the last step at most
    "truncated": ("flag", "(chunks.truncated AND chunks.steps = 1)", "chunks.truncated"),
    "reward_source": ("text", "", ""),
}
KNOWN: Mapping[str, Column] = {
    # Qualified: SQLite takes a bare "name" that is no column for text.
    **{name: Column(name, kind, f'chunks."{name}"', f'chunks."{name}"', of_block=True) for name, kind in OF_BLOCK.items()},
    **{name: Column(name, *described) for name, described in OF_STEP.items()},
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition. Made by `parse`.

    Attributes:
        text: as it was given.
        expression: what it means.
    """

    text: str
    expression: Expression

    @property
    def of_block(self) -> frozenset[str]:
        """Columns of the block that it names."""
        return frozenset(column.name for column in columns_of(self.expression) if column.of_block)

    @property
    def of_step(self) -> frozenset[str]:
        """Columns of the step that it names, relabelled ones included."""
        return frozenset(column.name for column in columns_of(self.expression) if not column.of_block)

    def possibly(self) -> Sql:
        """Over `chunks`: blocks in which a step may satisfy it."""
        return over_blocks(self.expression, truth=True, sure=False)

    def certainly(self) -> Sql:
        """Over `chunks`: blocks of which every step satisfies it."""
        return over_blocks(self.expression, truth=True, sure=True)

    def steps(self, columns: Columns, n: int) -> Bool:
        """Which of n steps satisfy it.

        Args:
            columns: each column that it names: an array (n,), or one value for all steps.
            n: steps.
        """
        return np.broadcast_to(over_steps(self.expression, columns)[0], (n,))

    def within(self, outer: Condition) -> Condition:
        """Both this and the outer one."""
        return Condition(f"({outer.text}) AND ({self.text})", Joined(True, (outer.expression, self.expression)))


def parse(text: str, labels: Iterable[str] = ()) -> Condition:
    """Parse a condition.

    Args:
        text: see the module.
        labels: names of relabelled columns, which it may name too; NULL where a step has no label.

    Raises:
        BadOption: what is wrong and where, which columns there are, and what would do.
    """
    known = dict(KNOWN) | {name: Column(name, "single", "", "", nullable=True) for name in labels}
    return Condition(text, expression(text, known))
