"""A collector's calls of the owner's actor: what is no answer begins the connection anew. No cluster: actors are played."""

from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="ray comes with the extra 'ray'")

from user_gym.errors import PeerLost
from user_gym.system.cluster import caller
from user_gym.system.cluster.caller import ActorCaller
from user_gym.system.cluster.gate import LOST


class Owner:
    """An actor whose answers are said before."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []
        self.ask = self

    def remote(self, *words):
        self.asked.append(words)
        return self.answers.pop(0)


@pytest.fixture(autouse=True)
def answers(monkeypatch):
    """A reference is its answer, and the seconds that it was waited for are kept."""
    waited = []

    def answer_of(asked, timeout):
        waited.append(timeout)
        if isinstance(asked, Exception):
            raise asked
        return asked

    monkeypatch.setattr(caller, "answer_of", answer_of)
    return waited


def test_a_connection_is_introduced_once_and_anew_after_a_loss(answers):
    owner = Owner({"room": 1}, {"room": 2}, {LOST: "left has come again since"}, {"room": 3}, PeerLost("gone"), {"room": 4})
    made = ActorCaller(owner, "left", timeout=15.0)
    assert not made.connected
    assert made.call({"ask": "collector"}) == {"room": 1}
    assert made.connected
    assert made.call({"ask": "go", "wait": 0.5}, b"x") == {"room": 2}
    with pytest.raises(PeerLost, match="has come again since"):
        made.call({"ask": "block"})
    assert not made.connected
    made.call({"ask": "collector"})
    with pytest.raises(PeerLost, match="gone"):
        made.call({"ask": "go"})
    assert not made.connected
    made.call({"ask": "collector"})
    firsts, sessions = [words[2] for words in owner.asked], [words[1] for words in owner.asked]
    assert firsts == [True, False, False, True, False, True]
    assert len(set(sessions)) == 3
    assert sessions[0] == sessions[1] == sessions[2]
    assert (owner.asked[1][0], owner.asked[1][4], answers[:2]) == ("left", b"x", [15.0, 15.5])
