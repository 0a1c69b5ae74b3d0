"""Rates that are measured in turns, so that the machine's drift hits all alike, and tables of them. It knows no workload."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence


class NotMeasured(Exception):
    """Why a contestant is absent from a table."""


def in_turns(turns: Mapping[str, Callable[[], float]], repetitions: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Call each so many times, every round beginning with another one; values by name, and reasons of those that failed."""
    values: dict[str, list[float]] = {name: [] for name in turns}
    absent: dict[str, str] = {}
    names = list(turns)
    for k in range(repetitions):
        for name in names[k % max(1, len(names)) :] + names[: k % max(1, len(names))]:
            if name not in absent:
                try:
                    values[name].append(turns[name]())
                except NotMeasured as error:
                    absent[name] = str(error)
    return {name: column for name, column in values.items() if name not in absent}, absent


def ratio(values: Sequence[float], base: Sequence[float] | None) -> str:
    """Median over rounds of one to the other; "-" where there is no other."""
    return f"{statistics.median(a / b for a, b in zip(values, base, strict=True)):.2f}" if base else "-"


def table(unit: str, rates: Mapping[str, Sequence[float]], base: str, form: str, absent: Mapping[str, str]) -> str:
    """Medians and ranges of rates, and the median over rounds of each to the rate named `base`."""
    lines = [f"| what | {unit} | range | times {base} |", "| --- | --- | --- | --- |"]
    for name, values in rates.items():
        middle, least, most = (form.format(value) for value in (statistics.median(values), min(values), max(values)))
        lines.append(f"| {name} | {middle} | {least} .. {most} | {ratio(values, rates.get(base))} |")
    return "\n".join(lines) + reasons(absent)


def reasons(absent: Mapping[str, str]) -> str:
    """Sentences for those that are absent."""
    return "".join(f"\n\nNot measured: {name}: {reason}." for name, reason in absent.items())
