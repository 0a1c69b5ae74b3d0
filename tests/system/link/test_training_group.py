"""What travels is declared once, for the policy and for the learner, and costs what is said."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from fleet import TIMEOUT, Fleet, episode
from gymnasium import spaces

from user_gym.cli.hub import traffic
from user_gym.errors import BadOption, MissingExtra, UnknownName
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.link.costs import Costs
from user_gym.system.link.edge import training_group
from user_gym.system.link.edge.training_group import TrainingGroup


class Pictures(gymnasium.Env):
    observation_space = spaces.Dict(
        {
            "front": spaces.Box(0, 255, (128, 96, 3), np.uint8),
            "wrist": spaces.Box(0, 255, (64, 64, 3), np.uint8),
            "state": spaces.Box(-1, 1, (7,), np.float32),
        }
    )
    action_space = spaces.Box(-1, 1, (6,), np.float32)

    def reset(self, *, seed=None, options=None):
        rows = np.arange(128)[:, None, None] // 2 * np.ones((128, 96, 3))
        return {
            "front": rows.astype(np.uint8),
            "wrist": np.full((64, 64, 3), 9, np.uint8),
            "state": np.zeros(7, np.float32),
        }, {}


def test_nothing_is_wrapped_where_nothing_is_declared():
    env = Pictures()
    assert TrainingGroup().wrap(env) is env


def test_columns_are_chosen_and_pictures_shrink_to_the_mean_of_their_pixels():
    env = TrainingGroup(columns=("front", "state"), picture=(32, 48)).wrap(Pictures())
    obs, _ = env.reset()
    assert sorted(obs) == ["front", "state"]
    assert env.observation_space.contains(obs)
    assert obs["front"].shape == (32, 48, 3)
    assert obs["front"][:3, 0, 0].tolist() == [1, 3, 5]  # the mean of 0, 0, 1, 1, rounded; and so on


@pytest.mark.parametrize(
    ("group", "error", "words"),
    [
        ({"columns": ("side",)}, UnknownName, "unknown column of the observation 'side'; known: front, state, wrist"),
        ({"picture": (48, 48)}, BadOption, "sides that divide 128 x 96 without rest"),
        ({"picture": (0, 48)}, BadOption, "picture"),
        ({"jpeg": 101}, BadOption, "1 .. 100"),
    ],
)
def test_what_cannot_be_declared_is_refused(group, error, words):
    with pytest.raises(error, match=words):
        TrainingGroup(**group).wrap(Pictures())


def test_an_observation_that_is_no_dict_has_no_columns_to_choose():
    env = Pictures()
    env.observation_space = spaces.Box(-1, 1, (3,), np.float32)
    with pytest.raises(BadOption, match="whose observations are dicts"):
        TrainingGroup(columns=("state",)).wrap(env)


def test_the_declaration_says_bytes_of_a_step_by_column():
    env = Pictures()
    rows = {row.column: row for row in TrainingGroup(jpeg=80).declared(env.observation_space, env.action_space)}
    assert rows["obs.front"] == ("obs.front", "uint8[128, 96, 3]", 36864, "jpeg 80")
    assert rows["obs.state"] == ("obs.state", "float32[7]", 28, "with light")
    assert (rows["action"].nbytes, rows["reward"].nbytes, rows["time"].nbytes) == (24, 4, 8)
    assert TrainingGroup(zstd=True).declared(env.observation_space, env.action_space)[0].coding == "lz4 or zstd"
    assert TrainingGroup(jpeg=80).lossy(env.observation_space) == {"front": 80, "wrist": 80}


def test_a_missing_zstandard_is_said_before_a_robot_moves(monkeypatch):
    monkeypatch.setattr(training_group, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="zstd"):
        TrainingGroup(zstd=True)


def test_a_beat_tells_of_the_largest_columns_alone():
    costs = Costs()
    extra = {f"c{k}": np.zeros((4, k + 1), np.float32) for k in range(200)}
    costs.add(Encoder().encode(replace(episode("e1", "arm", 0)[0], extra=extra)))
    told = costs.facts()["columns"]
    assert len(told) == 100
    assert "extra.c199" in told
    assert "extra.c0" not in told


def test_costs_add_up_to_the_bytes_of_the_blocks():
    costs, total, encoder = Costs(), 0, Encoder()
    for chunk in episode("e1", "arm", 0, picture=20_000):
        block = encoder.encode(chunk, follows=chunk.sequence > 0)
        costs.add(block)
        total += len(block.data)
    facts, columns = costs.facts(), costs.columns()
    assert facts["steps"] == 12
    assert facts["after"] == pytest.approx(total / 12, abs=0.1)
    assert columns["obs.camera"].before == pytest.approx(20_000 * 13 / 12)  # T + 1 rows, each once
    assert columns["obs.camera"].after + columns["light"].after == pytest.approx(total / 12, abs=64)  # zeros at the ends
    assert columns["reward"].after is None


def test_a_hub_shows_what_its_edges_send_and_believes_nothing(tmp_path):
    with Fleet(tmp_path) as fleet:
        edge = fleet.begin_edge()
        for chunk in episode("e1", "arm", 0, picture=20_000):
            edge.outlet.put(chunk)
        assert edge.flush(TIMEOUT)
        facts = edge.told()
    assert traffic.step(facts).endswith(" kB")
    rows = list(traffic.columns(facts))
    assert rows[-1][0] == "all"
    (camera,) = [row for row in rows if row[0] == "obs.camera"]
    assert camera[1] == "lz4"
    assert camera[2] == "21.7 kB"
    assert camera[3].endswith(" kB")
    assert ("reward", "", "4 B", "with light") in rows
    hostile = {
        "bytes": {"steps": "x", "after": [], "columns": {"a\x1b[2J": 3, "b": [None, "y", 4]}},
        "raw": {"r\x07": {"episodes": 1}},
    }
    assert traffic.step(hostile) == ""
    assert list(traffic.columns(hostile)) == [("a[2J", "", "", ""), ("b", "", "", "")]
    assert traffic.raw(hostile) == "r none"
    assert traffic.raw({"raw": []}) == traffic.step({}) == ""
