"""The shipped suites on the real ids: vendor clients and our CAN driver in their worker, protocol twins at the other end."""

import itertools
import os
from importlib.util import find_spec

import gymnasium
import pytest
from gymnasium.utils.env_match import check_environments_match

import user_gym  # noqa: F401
from user_gym.robots import registry, specs
from user_gym.robots.side import Side
from user_gym.tasks.peg_insert import PegInsert
from user_gym.testing.bench import Bench
from user_gym.testing.env_suite import EnvSuite
from user_gym.testing.robot_suite import RobotSuite

_counter = itertools.count(1)


def loopback() -> str:
    """An address that no other test worker uses."""
    pid, n = os.getpid(), next(_counter)
    return f"127.{160 + pid % 64}.{pid // 64 % 250 + 1}.{n % 250 + 1}"


def franka(robot: str, task, folder):
    from user_gym.sim.fci.twin import FciTwin

    twin = FciTwin(specs.spec(robot), task, address=loopback())
    twin.open()
    return twin, {"address": twin.address, "twin": twin.side}


def arx(robot: str, task, folder):
    from user_gym.sim.can.twin import CanTwin

    bus = f"seqpacket:{folder}/{next(_counter)}.can"
    twin = CanTwin(specs.spec(robot), task, bus, side="127.0.0.1:0")
    twin.open()
    return twin, {"address": bus, "twin": twin.side}


class OnTwins:
    """Starts a twin for each cell or environment; the arms are those of gym.make."""

    robot = "franka-fr3"
    start = staticmethod(franka)

    @pytest.fixture(autouse=True)
    def _machine(self, tmp_path_factory, monkeypatch):
        folder = tmp_path_factory.mktemp("m")
        monkeypatch.setenv("USER_GYM_STOPS", str(folder / "stops"))
        monkeypatch.setenv("USER_GYM_LEASES", str(folder / "leases"))
        self.folder, self.twins = folder, []
        yield
        for twin in self.twins:
            twin.close()

    def twin(self, task) -> dict:
        """Options that reach a new twin."""
        twin, options = self.start(self.robot, task, self.folder)
        self.twins.append(twin)
        return options


class RealRobots(OnTwins, RobotSuite):
    def make_cell(self, task: Bench, control: str = "tcp"):
        spec = specs.spec(self.robot)
        return registry.load(self.robot, "real")(spec, task, control, **self.twin(task))

    def fault(self, robot) -> None:
        self._ask("fault", **self.reflex)
        reset = robot.reset

        def repaired(start):
            self._ask("heal")
            return reset(start)

        robot.reset = repaired

    def _ask(self, op: str, **arguments) -> None:
        side = Side(self.twins[-1].side)
        side.connect()
        try:
            side.ask(op, **arguments)
        finally:
            side.close()


class RealEnvs(OnTwins, EnvSuite):
    id = "User/PegInsert-real-v0"
    deterministic = False
    alone = True

    def make(self, **more):
        if not self.twins:
            self.reach = self.twin(PegInsert(specs.spec(self.robot)))
        return gymnasium.make(self.id, robot=self.robot, **self.kwargs, **self.reach, **more)


class Parity(OnTwins):
    """Equal spaces and info keys, in both kinds of observation."""

    @pytest.mark.parametrize("obs", ["state", "pixels"])
    def test_sim_and_real_match(self, obs: str) -> None:
        options = self.twin(PegInsert(specs.spec(self.robot)))
        sim = gymnasium.make("User/PegInsert-sim-v0", robot=self.robot, obs=obs)
        real = gymnasium.make("User/PegInsert-real-v0", robot=self.robot, obs=obs, **options)
        assert sim.observation_space == real.observation_space
        assert sim.action_space == real.action_space
        check_environments_match(
            sim, real, num_steps=10, skip_obs=True, skip_rew=True, skip_terminal=True, skip_truncated=True,
            info_comparison="keys-equivalence",
        )  # fmt: skip
        sim.close()
        real.close()


fr3 = pytest.mark.skipif(find_spec("franky") is None, reason="no wheel of franky-control here")
fer = pytest.mark.skipif(find_spec("panda_py") is None, reason="no wheel of panda-python here")
can = pytest.mark.skipif(find_spec("can") is None, reason="python-can is not installed")


@fr3
@pytest.mark.slow
class TestFr3Env(RealEnvs):
    robot = "franka-fr3"


@fer
@pytest.mark.slow
class TestFerEnv(RealEnvs):
    robot = "franka-fer"


@can
@pytest.mark.slow
class TestX5Env(RealEnvs):
    robot, start = "arx-x5", staticmethod(arx)


@can
@pytest.mark.slow
class TestL5Env(RealEnvs):
    robot, start = "arx-l5", staticmethod(arx)


@fr3
@pytest.mark.slow
class TestFr3(RealRobots):
    robot, reflex, timed_hand = "franka-fr3", {"name": "reflex", "reason": "cartesian_reflex"}, False


@fer
@pytest.mark.slow
class TestFer(RealRobots):
    robot, reflex, timed_hand = "franka-fer", {"name": "reflex", "reason": "cartesian_reflex"}, False


@can
@pytest.mark.slow
class TestX5(RealRobots):
    robot, start, reflex = "arx-x5", staticmethod(arx), {"name": "over-temperature", "motor": 5}


@fr3
@pytest.mark.slow
class TestFr3Parity(Parity):
    robot = "franka-fr3"


@fer
@pytest.mark.slow
class TestFerParity(Parity):
    robot = "franka-fer"


@can
@pytest.mark.slow
class TestX5Parity(Parity):
    robot, start = "arx-x5", staticmethod(arx)
