"""What a machine offers a cluster, what a collector needs of one, and which addresses are none."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("ray", reason="ray comes with the extra 'ray'")

from running import Run, plan_words, toml

from user_gym.core import Device, Inventory
from user_gym.errors import BadOption
from user_gym.system.cluster.resources import offered, wanted
from user_gym.system.cluster.session import joined
from user_gym.system.processes import CollectorPlan


def test_each_robot_of_the_inventory_is_offered_once_and_entries_with_mistakes_are_not():
    devices = (
        Device("left", "robot", "franka-fr3", "172.16.0.2"),
        Device("right", "robot", "arx-x5", "?", healthy=False, reason="[[robot]] 2: bad address"),
        Device("eye", "camera", "realsense", ""),
        Device("0", "gpu", "H200", "0"),
    )
    assert offered(Inventory(devices)) == {"robot:left": 1.0}


def test_a_collector_needs_its_robot_and_a_simulated_one_a_processor():
    assert wanted(CollectorPlan("a", "Env-v0", device="left")) == {"robot:left": 1.0}
    assert wanted(CollectorPlan("a", "Env-v0", robot="franka-fr3")) == {"CPU": 1.0}


def test_a_program_outside_the_cluster_is_told_where_to_start():
    with pytest.raises(BadOption, match="a node of the cluster"), joined("ray://127.0.0.1:1", {}, 0):
        pass


def test_an_address_where_no_cluster_is_becomes_an_error_of_one_line(tmp_path, environment):
    code = "import sys; from user_gym.cli.main import main; sys.exit(main())"
    (tmp_path / "plan.toml").write_text(toml(plan_words()))
    command = [sys.executable, "-c", code, "run", str(tmp_path / "plan.toml"), "--run-dir", str(tmp_path / "run")]
    done = subprocess.run([*command, "--ray", "auto"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "error: bad ray 'auto'; allowed: auto (the cluster that this machine is in)" in done.stderr


def test_without_ray_the_error_names_the_extra(tmp_path, environment):
    code = "import sys; sys.modules['ray'] = None; from user_gym.cli.main import main; sys.exit(main())"
    (tmp_path / "plan.toml").write_text(toml(plan_words()))
    command = [sys.executable, "-c", code, "run", str(tmp_path / "plan.toml"), "--run-dir", str(tmp_path / "run")]
    done = subprocess.run([*command, "--ray", "local"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "'ray' is not installed; it comes with the extra 'ray': pip install 'user-gym[ray]'" in done.stderr


@pytest.mark.slow
def test_a_cluster_of_this_machine_alone_has_the_robots_of_its_inventory(tmp_path, environment):
    (tmp_path / "cell").mkdir()
    (tmp_path / "inventory.toml").write_text('[[robot]]\nid = "left"\nmodel = "franka-fr3"\naddress = "127.99.99.1"\n')
    robot = {"name": "arm", "env": "placed_robots:PlacedRobot-v0", "device": "left", "kwargs": {"cell": str(tmp_path / "cell")}}
    run = Run(tmp_path, steps=100, collectors=[robot, {"name": "sim", "env": "toy_robots:ToyRobot-v0"}])
    command = [sys.executable, "-m", "user_gym.cli", "run", str(run.file), "--run-dir", str(run.folder.path), "--ray", "local"]
    environment = {**environment, "USER_GYM_INVENTORY": str(tmp_path / "inventory.toml")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run.check()["steps"] >= 100
