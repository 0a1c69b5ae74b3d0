"""Who rewarded the steps of a buffer. Blocks say it in their heads, the index does not: so all heads are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from user_gym.errors import BadBlock, Gone

if TYPE_CHECKING:
    from user_gym.system.buffer.stored import Stored


def counted(store: Stored, progress: Callable[[int, int], object]) -> list[dict[str, Any]]:
    """Transitions of each reward source, and episodes with one of them; of None where blocks cannot be read, or are gone."""
    entries = store.entries()
    transitions: dict[str | None, int] = {}
    episodes: dict[str | None, set[tuple[str, int]]] = {}
    for row in range(len(entries)):
        entry = entries.entry(row)
        try:
            head = store.read_prefix(entry)
        except (BadBlock, Gone, OSError):  # `verify` says what is wrong with it, and the rest is true without it
            transitions[None] = transitions.get(None, 0) + entry.steps
        else:
            for source, steps in head.reward_source:
                transitions[source] = transitions.get(source, 0) + steps
                episodes.setdefault(source, set()).add((head.source, head.episode))
        progress(row + 1, len(entries))
    return [
        {"reward_source": source, "episodes": len(episodes.get(source, ())), "transitions": transitions[source]}
        for source in sorted(transitions, key=lambda source: (source is None, source))
    ]
