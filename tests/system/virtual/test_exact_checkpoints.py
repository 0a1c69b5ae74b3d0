"""When an exact run makes checkpoints, and what it refuses because no checkpoint holds it."""

import json
import zipfile
from threading import Event

import pytest
from toy_training import Toy, ToyAgent

from user_gym.errors import BadOption
from user_gym.system import Buffer
from user_gym.system.virtual import Costs, train_exactly

COSTS = Costs(period=0.1, reset_time=1.0, update_time=0.3)  # the learner keeps up with neither steps nor resets


class Stopping(Toy):
    """Sets `stop` in a step of its own."""

    def __init__(self, stop, at):
        self.stop, self.left = stop, at

    def step(self, action):
        self.left -= 1
        if self.left == 0:
            self.stop.set()
        return super().step(action)


def state(folder):
    """What the newest checkpoint holds beside agent and weights."""
    with zipfile.ZipFile(folder / json.loads((folder / "newest.json").read_text())["agent"]) as file:
        return json.loads(file.read("state.json"))


def run(folder, at=-1, **options):
    """What the agent has learned in the end, None where it was stopped, and updates of the newest checkpoint."""
    agent, stop = ToyAgent(), Event()
    with Buffer.open(folder / "buffer", durability="kill") as buffer:
        result = train_exactly(
            folder, Stopping(stop, at), agent, buffer, costs=COSTS, steps=100, batch_size=8, stop=stop, **options
        )  # fmt: skip
    return None if result.interrupted else agent.mean.tobytes(), json.loads((folder / "newest.json").read_text())["updates"]


@pytest.mark.parametrize("options", [{"synchronous": True}, {"synchronous": False, "tolerance": 5.0}])
def test_a_robot_that_waits_for_its_learner_loses_one_episode_to_a_kill_and_no_bit(tmp_path, options):
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole, _ = run(tmp_path / "whole", **options)
    assert run(tmp_path / "parts", 55, **options)[1] >= 30  # of at least 40 updates that were done
    assert run(tmp_path / "parts", **options)[0] == whole


@pytest.mark.parametrize("options", [{"synchronous": True}, {"synchronous": False, "tolerance": 5.0}])
def test_before_learning_starts_a_kill_costs_one_episode_as_well_and_no_bit(tmp_path, options):
    options = {"learning_starts": 80, **options}
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole, _ = run(tmp_path / "whole", **options)
    assert run(tmp_path / "parts", 55, **options) == (None, 0)
    assert state(tmp_path / "parts")["env_steps"] >= 40  # of 54, in episodes of 10
    assert run(tmp_path / "parts", **options)[0] == whole


def test_random_steps_are_refused_for_their_random_numbers_begin_anew(tmp_path):
    with pytest.raises(BadOption, match="random_steps"):
        run(tmp_path, random_steps=10)
