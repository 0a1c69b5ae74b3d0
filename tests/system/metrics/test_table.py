"""A person sees a table on a terminal, and lines elsewhere."""

from __future__ import annotations

import io
import math
import os
import pty
import re

import pytest
from records import RIGHT, record

from user_gym.system.metrics import Table
from user_gym.system.metrics.table import line, table
from user_gym.system.virtual import VirtualClock

console = pytest.importorskip("rich.console", reason="the extra 'viz'")


def shown(one, now: float, width: int = 120) -> str:
    stream = io.StringIO()
    console.Console(file=stream, width=width).print(table(one, now))
    return stream.getvalue()


def test_the_table_says_all_that_a_record_holds() -> None:
    text = shown(record(), 1002.0)
    assert "peg  running, seen 2 s ago  1200 steps" in text
    assert re.search(r"left \(franka-fr3\) +acting +2 s ago +1200 +13 +75% +12% +1 +98% +1.5", text)
    assert "4800 updates at 80.5/s, 4 per step, version 1200" in text
    assert "critic_loss 0.25, q inf" in text
    assert "1500 transitions, 1.0 MB in memory, 3 chunks queued" in text
    assert "1.02 versions on average; 0: 85%, 1: 13%, 2: 2%, 129+: 0%" in text
    assert "left 1 s for learner, learner 2 s for steps" in text


def test_what_is_not_known_is_a_dash() -> None:
    text = shown(record(robots=(RIGHT,)), 1000.0)
    assert re.search(r"gone +never +0 +0 +- +- +0 +- +-", text)
    assert "stale by -" in line(record(staleness=type(record().staleness)()))


def test_a_name_with_markup_is_shown_as_it_is() -> None:
    assert "[red]x[/red]" in shown(record(run="[red]x[/red]"), 1000.0)


@pytest.mark.parametrize(
    ("age", "words"),
    [(9.0, "running, seen 9 s ago"), (11.0, "silent for 11 s"), (300.0, "silent for 5 min"), (1e5, "silent for 28 h")],
)
def test_a_run_that_is_silent_is_said_to_be(age: float, words: str) -> None:
    assert words in shown(record(), 1000.0 + age)
    assert "ended" in shown(record(ended=True), 1000.0 + age)


def test_where_there_is_no_terminal_each_record_is_a_line() -> None:
    stream = io.StringIO()
    sink = Table(stream=stream)
    sink.open()
    sink.write(record())
    sink.write(record(ended=True, env_steps=1300))
    sink.close()
    first, second = stream.getvalue().splitlines()
    assert "1200 steps  1 of 2 robots  success 75%  4800 updates at 80.5/s  version 1200  stale by 1.02  3 queued" in first
    assert second.endswith("ended")
    assert "success -" in line(record(robots=()))
    assert math.isnan(record(robots=()).success_rate)


def test_on_a_terminal_the_table_is_drawn_in_place() -> None:
    ours, theirs = pty.openpty()
    with open(theirs, "w") as stream:
        sink = Table(stream=stream, clock=VirtualClock(1001.0))
        sink.open()
        sink.write(record(env_steps=1))
        sink.write(record(env_steps=2))
        sink.close()
        sink.close()
        text = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "1 steps" in text
    assert "2 steps" in text
    assert "\x1b[1A" in text  # up again, to draw over it
