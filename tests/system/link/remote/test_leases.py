"""The table of who has which robot, on a clock of its own."""

from __future__ import annotations

import pytest

from user_gym.errors import Busy, Halted, NotAdmitted
from user_gym.system.link.hub.leases import GRACE, Leases

BOTH = ("e1/left", "e1/right")


def test_a_robot_is_one_clients_and_the_refusal_names_it():
    leases = Leases()
    first = leases.grant(BOTH, "a#1", "p", 0.0)
    second = leases.grant(BOTH, "b#1", "p", 0.0)
    assert (first.robot, second.robot) == BOTH
    with pytest.raises(Busy, match=r"e1/left by a#1, e1/right by b#1"):
        leases.grant(BOTH, "c#1", "p", 0.0)
    leases.end(first, NotAdmitted("given back"))
    assert leases.grant(BOTH, "c#1", "p", 0.0).robot == "e1/left"


def test_only_its_client_may_use_a_lease():
    leases = Leases()
    mine = leases.grant(BOTH, "a#1", "p", 0.0)
    assert leases.of(mine.id, "a#1") is mine
    with pytest.raises(NotAdmitted, match="b#1 has no such lease"):
        leases.of(mine.id, "b#1")
    with pytest.raises(NotAdmitted):
        leases.of("0" * 32, "a#1")


def test_a_client_has_one_robot_for_each_place():
    leases = Leases()
    first = leases.grant(BOTH, "a#1", "p", 0.0)
    again = leases.grant(BOTH, "a#1", "p", 0.0)
    assert again.robot == first.robot
    assert again.id != first.id
    with pytest.raises(NotAdmitted, match="leased a robot anew"):
        leases.of(first.id, "a#1")
    assert leases.grant(BOTH, "a#1", "q", 0.0).robot == "e1/right"


def test_who_is_gone_for_too_long_loses_it_and_who_comes_back_keeps_it():
    leases = Leases()
    mine = leases.grant(BOTH, "a#1", "p", 0.0)
    theirs = leases.grant(BOTH, "b#1", "p", 0.0)
    assert leases.left("a#1", 100.0) == [mine]
    leases.left("b#1", 100.0)
    leases.back("b#1")
    assert not leases.expired(100.0 + GRACE)
    with pytest.raises(Busy, match=r"a#1 \(away; free in 10 s unless it comes back\)"):
        leases.grant(BOTH, "c#1", "p", 0.0)
    assert leases.expired(100.1 + GRACE) == [mine]
    with pytest.raises(NotAdmitted, match=r"gone for more than 10\.0 s"):
        leases.of(mine.id, "a#1")
    assert leases.of(theirs.id, "b#1") is theirs


def test_a_stop_ends_leases_with_who_said_it():
    leases = Leases()
    mine = leases.grant(["e1/arm"], "a#1", "p", 0.0)
    other = leases.grant(["e2/arm"], "a#1", "q", 0.0)
    assert leases.stopped(["e1"], "boss") == [mine]
    with pytest.raises(Halted, match="stopped by boss"):
        leases.of(mine.id, "a#1")
    assert leases.of(other.id, "a#1") is other


def test_a_hub_that_was_begun_anew_keeps_to_what_edges_say_unless_it_knows_better():
    leases = Leases()
    leases.adopt("e1/arm", "1" * 32, "a#1", 0.0, None)
    assert leases.of("1" * 32, "a#1").robot == "e1/arm"
    mine = leases.grant(["e1/left"], "b#1", "p", 0.0)
    leases.adopt("e1/left", "2" * 32, "a#1", 0.0, None)
    assert leases.by_id("2" * 32) is None
    leases.end(mine, NotAdmitted("over"))
    leases.adopt("e1/left", mine.id, "b#1", 0.0, None)
    assert leases.by_id(mine.id) is None


def test_who_had_a_robot_before_the_hub_was_begun_has_to_come_back():
    leases = Leases()
    leases.adopt("e1/arm", "1" * 32, "a#1", 0.0, 50.0)
    leases.adopt("e1/left", "2" * 32, "b#1", 0.0, 50.0)
    leases.back("b#1")
    assert [lease.robot for lease in leases.expired(50.1 + GRACE)] == ["e1/arm"]
