"""What each baseline's --help says is true of it."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from baselines import bc, hg_dagger, play, reward_classifier, rlpd, sac_flow
from baselines.command import arguments
from baselines.online import GLANCE
from user_gym.ids import IDS

WORDS = """Say one thing
in two lines.

    python -m said --as "it is,  so"

Say another thing, which is longer than
a narrow terminal is wide.
"""


@dataclass(frozen=True)
class Said:
    """What is said."""

    where: Path
    """short
    line, (and
    others) Behind it"""
    often: int = 3
    """inherited"""


@dataclass(frozen=True)
class Anew(Said):
    """And again."""

    often: int = 4
    """times; 0:
    never"""


def told(config, capsys):
    """Its help as one line of words."""
    with pytest.raises(SystemExit):
        arguments(config, "", ["--help"])
    return " ".join(re.sub(r"[│|╭╮╰╯─]", " ", capsys.readouterr().out).split())


@pytest.mark.parametrize("module", [bc, hg_dagger])
def test_a_baseline_of_one_body_that_needs_demonstrations_offers_nothing_else(module, capsys) -> None:
    words = told(module.Config, capsys)
    assert "--demos INT" in words
    for other in ("Several", "--demos 0", "SAC", "symmetric sampling", "each body"):
        assert other not in words


def test_the_cost_of_a_look_is_said_as_it_is(capsys) -> None:
    words = told(hg_dagger.Config, capsys)
    for task in ("PegInsert", "PickPlace", "TableCleanup"):
        assert re.search(rf"{GLANCE * IDS[f'User/{task}-sim-v0'][2]}( steps)? of {task}\b", words), task


@pytest.mark.parametrize("module", [rlpd, sac_flow])
def test_a_default_that_depends_on_the_task_says_what_it_stands_for(module, capsys) -> None:
    words = told(module.Config, capsys)
    assert "Several, as franka-fr3,arx-x5" in words
    assert words.count("(default: 0)") + words.count("(default: 0.0)") + words.count("(default: -1)") >= 5
    for name in ("--steps", "--batch-size", "--updates-per-step", "--averaging", "--actor-every"):
        assert re.search(rf"{name} \w+ [^-]*?; 0: ", words), name
    assert re.search(r"--demos INT .*?-1: what suits the task", words)


def test_help_flows_in_paragraphs_whatever_lines_the_source_has(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    with pytest.raises(SystemExit):
        arguments(Anew, WORDS, ["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "Say one thing in two lines.",
        "",
        '    python -m said --as "it is,  so"',
        "",
        "Say another thing, which is longer than a narrow",
        "terminal is wide.",
    ]
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        arguments(Anew, WORDS, ["--help"])
    wide = capsys.readouterr().out
    assert "short line, (and others) Behind it (required)" in wide
    assert "times; 0: never (default: 4)" in wide
    assert "inherited" not in wide


@pytest.mark.parametrize("module", [bc, hg_dagger, rlpd, sac_flow, play, reward_classifier])
def test_no_option_of_a_baseline_breaks_its_line_before_the_terminal_does(module, capsys, monkeypatch) -> None:
    kind = {play: play.Play, reward_classifier: reward_classifier.Options}.get(module) or module.Config
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        arguments(kind, module.__doc__, ["--help"])
    shown = [line.strip("│ ") for line in capsys.readouterr().out.partition("usage:")[2].splitlines()[1:]]
    shown = [line for line in shown if line and not line.endswith(("-", "╮", "╯", "options", "arguments"))]  # no frames, titles
    assert len(shown) >= 7
    assert all(line.startswith("-") or line.endswith(")") for line in shown)


def test_what_is_asked_for_is_what_the_options_say() -> None:
    assert arguments(rlpd.Config, None, []) == rlpd.Config()
    assert arguments(bc.Config, None, ["--seed", "3", "--no-film", "--hole-offset", "0.01"]) == bc.Config(
        seed=3, film=False, hole_offset=0.01
    )
    assert arguments(play.Play, None, ["runs/one", "--episodes", "2"]) == play.Play(Path("runs/one"), episodes=2)
