"""What the commands of a small VLA print."""

from __future__ import annotations

import pytest

from baselines.vla_report import judgements, prompted, tenth


def test_every_tenth_episode_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    told = tenth("blue")
    for episode in range(1, 26):
        told(f"episode {episode}")
    assert capsys.readouterr().out == "blue: episode 10\nblue: episode 20\n"


def test_each_task_is_said_with_each_prompt() -> None:
    rates = {"blue": {"blue": 0.5, "yellow": 0.0}, "yellow": {"blue": 0.04, "yellow": 1.0}}
    assert judgements(rates, 50) == [
        "blue with its own prompt: success 0.50 over 50 episodes",
        "blue with the prompt of yellow: success 0.00 over 50 episodes",
        "yellow with the prompt of blue: success 0.04 over 50 episodes",
        "yellow with its own prompt: success 1.00 over 50 episodes",
    ]
    assert prompted("blue", "yellow") == "blue with the prompt of yellow"
