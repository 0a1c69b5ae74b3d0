"""The remote ids pass the suites that every environment passes, over both channels; a twin runs at the edge."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from remote_parts import fleet

import user_gym
from user_gym.system.link.remote.served import Served
from user_gym.testing.env_suite import EnvSuite
from user_gym.testing.vector_suite import VectorSuite

assert user_gym
SIM = "User/PegInsert-sim-v0"


def edge_with(robots, **options):
    return {f"arm-{i}": [Served(SIM, options)] for i in range(robots)}


class _Remote:
    id = "User/PegInsert-remote-v0"
    robots = 4

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _edge(cls, tmp_path_factory):
        options = {name: cls.own[name] for name in ("robot",) if name in cls.own}
        with fleet(tmp_path_factory.mktemp("fleet"), edge_with(cls.robots, **options)) as running:
            cls.kwargs = {"hub": running.address, "edge": "e1", **cls.own}
            yield


class TestOverTheNetwork(_Remote, EnvSuite):
    own: ClassVar[dict[str, Any]] = {"channel": "network"}


class TestOverSharedMemory(_Remote, EnvSuite):
    own: ClassVar[dict[str, Any]] = {"channel": "shared memory", "robot": "arx-x5", "control": "joint"}


@pytest.mark.slow
class TestPixels(_Remote, EnvSuite):
    own: ClassVar[dict[str, Any]] = {"obs": "pixels"}


class TestManyOverTheNetwork(_Remote, VectorSuite):
    own: ClassVar[dict[str, Any]] = {"channel": "network"}
    robots = 8


class TestManyOverSharedMemory(_Remote, VectorSuite):
    own: ClassVar[dict[str, Any]] = {"channel": "shared memory"}
    robots = 8


def test_a_remote_episode_equals_the_local_one_bit_for_bit(tmp_path):
    import gymnasium

    from user_gym.testing.compare import assert_same

    with fleet(tmp_path, edge_with(1)) as running:
        remote = gymnasium.make("User/PegInsert-remote-v0", hub=running.address, edge="e1")
        local = gymnasium.make(SIM)
        rng = np.random.default_rng(0)
        assert_same(remote.reset(seed=7), local.reset(seed=7))
        for _ in range(5):
            action = rng.uniform(-1, 1, 6).astype(np.float32)
            assert_same(remote.step(action), local.step(action))
        state, twin = remote.unwrapped.state, local.unwrapped.state
        assert np.array_equal(state.tcp, twin.tcp)
        assert np.array_equal(remote.unwrapped.scene.poses, local.unwrapped.scene.poses)
        remote.close()
        local.close()
