"""An env offers what its robot and devices say beyond the observation, in full and on one clock."""

from __future__ import annotations

import gymnasium
import numpy as np

import user_gym  # noqa: F401  registers the ids
from user_gym.core.device import RawSource
from user_gym.system.chunk import ChunkBuilder
from user_gym.system.link.raw import Archive, Recorder
from user_gym.system.link.raw.marking import Marking
from user_gym.system.link.raw.rows import Labels


def test_the_full_state_of_each_period_is_recorded_and_joins_with_the_steps(tmp_path):
    env = gymnasium.make("User/PegInsert-sim-v0")
    sources = env.get_wrapper_attr("raw_sources")
    assert all(isinstance(source, RawSource) for source in sources)
    assert [source.name for source in sources] == ["state"]
    with Archive.open(tmp_path / "raw", spare_bytes=0) as archive, Recorder(archive, Labels("e1/arm"), sources) as recorder:
        builder = Marking(ChunkBuilder("e1/arm", "franka-fr3", "PegInsert"), recorder)
        obs, info = env.reset(seed=0)
        builder.start(obs, 0, info["time"])
        states = [env.unwrapped.state]
        for _ in range(8):
            obs, reward, terminated, _, info = env.step(env.action_space.sample())
            chunk = builder.add(np.zeros(6), float(reward), terminated, False, info, obs, 0)
            states.append(env.unwrapped.state)
        chunk = chunk or builder.flush()
        recorder.close()
        stream = archive.stream("e1/arm", 0, "state")
    env.close()
    assert stream.at(chunk.time).tolist() == list(range(1, 9))
    for name in ("q", "dq", "tau", "tcp", "velocity", "wrench", "gripper"):
        np.testing.assert_array_equal(stream.columns[name], [getattr(state, name) for state in states])
