"""RLPD, as a plan without an agent means it, on two simulated robots."""

from __future__ import annotations

import pytest
from edge_process import address

from user_gym.system import Buffer
from user_gym.system.link.identity.hub_folder import HubFolder

pytest.importorskip("torch")


@pytest.mark.slow
def test_rlpd_learns_from_two_robots_and_survives_the_death_of_each_process(runs):
    collectors = [
        {"name": name, "env": "User/PegInsert-sim-v0", "robot": "franka-fr3", "task": "PegInsert"} for name in ("left", "right")
    ]
    options = {"demos": 2, "hidden": 32}
    changes = {"agent": {"options": options}, "learning_starts": 50, "batch_size": 32, "max_seconds": 1.0}
    run = runs(steps=400, updates_per_step=1.0, publish_every=4, collectors=collectors, **changes).start()
    for name, steps in (("owner", 60), ("left", 120), ("learner", 180), ("supervisor", 240)):
        run.until(lambda steps=steps: run.steps() >= steps, f"{steps} steps")
        run.kill(name)
    assert run.end()[0] == 0, run.logs()
    finished = run.folder.finished()
    with Buffer.open(run.folder.buffer, read_only=True) as buffer:
        assert len(buffer.view("kind = 'policy'")) == finished["steps"] >= 400
        assert len(buffer.view("kind = 'demo' AND success AND (terminated OR truncated)")) == 2
        acted = buffer.view("policy_version > 0")
        assert len(acted) > 100  # with weights that were learned meanwhile
    assert finished["updates"] >= finished["steps"] - 50


@pytest.mark.slow
def test_rlpd_learns_from_robots_elsewhere_and_survives_the_death_of_hub_and_edge(runs, edges, tmp_path):
    robot = {"name": "arm", "env": "User/PegInsert-sim-v0", "robot": "franka-fr3", "task": "PegInsert"}
    listen, folder = address(), HubFolder(tmp_path / "hub")
    folder.enroll("e1", listen).save(tmp_path / "e1.bundle")
    changes = {"agent": {"options": {"demos": 2, "hidden": 32}}, "learning_starts": 50, "batch_size": 32, "max_seconds": 1.0}
    hub = {"listen": listen, "folder": f"{tmp_path}/hub", "hosts": [listen.rpartition(":")[0]]}
    run = runs(
        steps=900, updates_per_step=1.0, publish_every=4, collectors=[{**robot, "edge": "e1"}], hub=hub, **changes
    ).start()
    edge = edges(
        run, "e1", robots=[robot], bundle=f"{tmp_path}/e1.bundle", policy="baselines.plan:policy", policy_options={"hidden": 32}
    )
    run.until(lambda: run.steps() >= 100, "100 steps")
    run.kill("hub")
    run.until(lambda: run.steps() >= 200, "200 steps")
    edge.kill()
    edge.start()
    assert run.end()[0] == 0, run.logs()
    assert edge.end() == 0, edge.said
    with Buffer.open(run.folder.buffer, read_only=True) as buffer:
        assert len(buffer.view("source = 'e1/arm'")) == run.folder.finished()["steps"] >= 900
        assert len(buffer.view("policy_version > 0")) > 100  # with weights that were learned meanwhile
