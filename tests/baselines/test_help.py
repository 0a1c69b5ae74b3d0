"""What each baseline's --help says is true of it."""

import re

import pytest
import tyro

from baselines import bc, hg_dagger, rlpd, sac_flow


def told(config, capsys):
    """Its help as one line of words."""
    with pytest.raises(SystemExit):
        tyro.cli(config, args=["--help"])
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())


@pytest.mark.parametrize("module", [bc, hg_dagger])
def test_a_baseline_of_one_body_that_needs_demonstrations_offers_nothing_else(module, capsys) -> None:
    words = told(module.Config, capsys)
    assert "--demos INT" in words
    for other in ("Several", "--demos 0", "SAC", "symmetric sampling", "each body"):
        assert other not in words


@pytest.mark.parametrize("module", [rlpd, sac_flow])
def test_a_default_that_depends_on_the_task_says_what_it_stands_for(module, capsys) -> None:
    words = told(module.Config, capsys)
    assert "Several, as franka-fr3,arx-x5" in words
    assert words.count("(default: 0)") + words.count("(default: 0.0)") + words.count("(default: -1)") >= 5
    for name in ("--steps", "--batch-size", "--updates-per-step", "--averaging", "--actor-every"):
        assert re.search(rf"{name} \w+ [^-]*?; 0: ", words), name
    assert re.search(r"--demos INT .*?-1: what suits the task", words)
