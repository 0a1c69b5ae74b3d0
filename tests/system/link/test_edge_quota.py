"""How much an edge may bring: refused beyond, with the reason, and counted across restarts of the hub."""

from __future__ import annotations

import time

import pytest
from fleet import Fleet, episode, wait

from user_gym.cli.main import main
from user_gym.errors import BadChunk, BadOption, UnknownName, WrongRun
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.identity.quota import Quota

STEPS = 12  # of an episode


@pytest.fixture
def folder(tmp_path):
    return HubFolder(tmp_path / "hub")


def brought(fleet, number):
    for chunk in episode("e1", "arm", number):
        fleet.edges["e1"].outlet.put(chunk)


def test_what_is_beyond_the_quota_is_refused_with_the_reason_and_counted(tmp_path, folder):
    bundle = folder.enroll("e1", "127.0.0.1:1", quota=Quota(steps=STEPS))
    with Fleet(tmp_path, {"folder": folder}) as fleet:
        edge = fleet.begin_edge(bundle=bundle)
        brought(fleet, 0)
        assert edge.flush(20.0)
        with pytest.raises(BadChunk, match="its quota of 12 steps is used up"):
            wait(lambda: brought(fleet, 1))
        fleet.check("e1/arm", 1)
        assert fleet.hub.edges()[0].refused >= 1
        assert (tmp_path / "spool-e1" / "refused.segment").exists()


def test_a_hub_that_was_restarted_remembers_what_an_edge_has_brought_and_a_new_quota_lets_more_in(tmp_path, folder, capsys):
    bundle = folder.enroll("e1", "127.0.0.1:1", quota=Quota(steps=STEPS))
    with Fleet(tmp_path, {"folder": folder}) as fleet:
        fleet.begin_edge(bundle=bundle)
        brought(fleet, 0)
        assert fleet.edges["e1"].flush(20.0)
        fleet.end_edge("e1")
        fleet.end_hub()
        assert folder.spending().of("e1")[0] == STEPS
        assert main(["hub", "quota", "e1", "--folder", str(folder.path), "--most-steps", str(2 * STEPS)]) == 0
        assert "e1 may bring 24 steps; it has brought 12 steps" in capsys.readouterr().out
        fleet.begin_hub()
        fleet.begin_edge(bundle=bundle)
        brought(fleet, 1)
        assert fleet.edges["e1"].flush(20.0)
        fleet.check("e1/arm", 2)
        with pytest.raises(BadChunk, match="its quota of 24 steps"):
            wait(lambda: brought(fleet, 2))


def test_bytes_have_a_quota_too_and_nobody_elses_are_counted(tmp_path, folder):
    bundles = {name: folder.enroll(name, "127.0.0.1:1", quota=Quota(nbytes=1)) for name in ("e1", "e2")}
    with Fleet(tmp_path, {"folder": folder}) as fleet:
        for name, bundle in bundles.items():
            fleet.begin_edge(name, bundle=bundle)
        brought(fleet, 0)
        with pytest.raises(BadChunk, match="its quota of 1 bytes"):
            wait(lambda: brought(fleet, 1))
        fleet.edges["e2"].outlet.put(episode("e2", "arm", 0, chunks=1)[0])
        assert fleet.edges["e2"].flush(20.0)
        assert len(fleet.stored("e2/arm")) == 4


def test_an_edge_with_a_rate_of_its_own_is_read_no_faster(tmp_path, folder):
    bundle = folder.enroll("e1", "127.0.0.1:1", quota=Quota(rate=200_000.0))
    with Fleet(tmp_path, {"folder": folder}) as fleet:
        edge, began = fleet.begin_edge(bundle=bundle), time.monotonic()
        for chunk in episode("e1", "arm", 0, chunks=5, picture=20_000):
            edge.outlet.put(chunk)
        assert edge.flush(20.0)
        assert time.monotonic() - began > 1.0  # 400 kB of noise at 200 kB/s take 2 s
        fleet.check("e1/arm", 1, chunks=5)


def test_quotas_that_make_no_sense_are_errors(tmp_path, folder):
    with pytest.raises(BadOption, match=r"quota\.steps"):
        Quota(steps=-1)
    folder.enroll("e1", "127.0.0.1:1")
    with pytest.raises(UnknownName, match="e9"):
        folder.give("e9", Quota())
    (folder.path / "spent.json").write_text('{"e1": "all"}')
    with pytest.raises(WrongRun, match="remove it, and quotas are counted anew"):
        folder.spending()
