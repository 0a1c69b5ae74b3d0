"""`user-gym edge --serve` and `user-gym hub enroll --client`: what they refuse, in words."""

from __future__ import annotations

import pytest

from user_gym.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--serve", "User/Nothing-v0"), "unknown env 'User/Nothing-v0'"),
        (("--serve", "no_such_module:Thing-v0"), "bad --serve"),
        (("--serve", "a b=CartPole-v1"), "bad name of a robot"),
        (("--serve", "CartPole-v1", "--serve", "CartPole-v1"), "one or more, each once"),
        (("--serve", "CartPole-v1", "--serve-option", "x"), "NAME=JSON"),
        (("--serve", "CartPole-v1", "--serve-option", "x=y"), "NAME=JSON"),
        (("--serve", "CartPole-v1", "--watchdog", "0"), "bad watchdog"),
        (("--serve", "CartPole-v1", "--hub", "192.0.2.1:9"), "is not loopback"),
    ],
)
def test_a_wrong_argument_of_serving_is_an_error_in_words(arguments, words, capsys):
    assert main(["edge", "--name", "e1", *(() if "--hub" in arguments else ("--hub", "127.0.0.1:1")), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_bundle_is_a_clients_or_an_operators(tmp_path, capsys):
    enroll = ["hub", "enroll", "ann", "--folder", f"{tmp_path}/hub", "--hub", "h:1", "--out", f"{tmp_path}/ann.bundle"]
    assert main([*enroll, "--client", "--operator"]) == 2
    assert "one of the two" in capsys.readouterr().err
    assert main([*enroll, "--client"]) == 0
    capsys.readouterr()
    assert main(["hub", "members", "--folder", f"{tmp_path}/hub"]) == 0
    assert "client" in capsys.readouterr().out
