"""What every RobotBatch must do: what n single Robots do, bit for bit, and only to the arms of the mask. In three lines:

    class TestMyArms(BatchSuite):
        robot = "arx-x5"
        backend = "sim"

It knows the protocol of `core.RobotBatch` and the bench, no simulator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
import pytest

from user_gym.core import F64, Cell, Command, Robot, RobotBatch, RobotState, Start
from user_gym.errors import BadAction, BadOption, Closed, NotReset, Unreachable
from user_gym.robots import registry, specs
from user_gym.testing.bench import PERIOD, Bench

N = 3
EVERYONE = np.ones(N, bool)
SOME = np.array([True, False, True])
FIELDS = tuple(f.name for f in fields(RobotState))


class BatchSuite:
    """Subclass it; the name of the subclass begins with Test.

    Attributes:
        robot: name of the arms.
        backend: name in the registry, of the batch and of the single arm it is compared with.
        options: of the batch's backend, such as threads.
        tolerance: how far a row may be from the single arm, in the unit of each field; 0: equal bits.
    """

    robot = "franka-fr3"
    backend = "sim"
    options: ClassVar[dict[str, Any]] = {}
    tolerance = 0.0

    def make_batch(self, task: Bench, count: int, control: str = "tcp") -> Cell[RobotBatch]:
        """A cell with the arms under test, not connected."""
        build = registry.load(self.robot, self.backend, batch=True)
        return build(specs.spec(self.robot), task, control, count, **self.options)

    def make_single(self, task: Bench, control: str = "tcp") -> Cell[Robot]:
        """A cell with one arm that the batch is compared with, not connected."""
        return registry.load(self.robot, self.backend)(specs.spec(self.robot), task, control)

    @pytest.fixture
    def arms(self) -> Iterator[RobotBatch]:
        """N of them, connected, not reset."""
        arms = self._connected(N)
        yield arms
        arms.close()

    @pytest.mark.parametrize("control", ["tcp", "joint"])
    def test_a_row_is_what_a_single_arm_does(self, control: str) -> None:
        """Through free motion, a press on the plate, and a reset of some arms."""
        task = self._task()
        arms = self._connected(N, control)
        singles = [self.make_single(task, control).robot for _ in range(N)]
        state = arms.reset(EVERYONE, self._starts())
        for i, single in enumerate(singles):
            single.connect()
            self._assert_row(state, i, single.reset(self._start(i)))
        rng = np.random.default_rng(5)
        for k in range(14):
            if k == 9:
                state = arms.reset(SOME, self._starts(seed=20))
                for i in np.flatnonzero(SOME).tolist():
                    self._assert_row(state, i, singles[i].reset(self._start(20 + i)))
            orders = self._orders(state, rng, control)
            state = arms.exchange(Command(np.zeros(N), **{key: value for key, value in orders.items()}))
            for i, single in enumerate(singles):
                self._assert_row(state, i, single.exchange(Command(0.0, **{key: value[i] for key, value in orders.items()})))
        for robot in (arms, *singles):
            robot.close()

    def test_shapes_have_a_leading_count(self, arms: RobotBatch) -> None:
        """Every field, finite."""
        state, n = arms.reset(EVERYONE, self._starts()), arms.spec.dof
        shapes = {name: np.shape(getattr(state, name)) for name in FIELDS}
        assert arms.count == N
        assert shapes == {
            "time": (N,), "q": (N, n), "dq": (N, n), "tau": (N, n), "tcp": (N, 6), "velocity": (N, 6), "wrench": (N, 6),
            "gripper": (N,),
        }  # fmt: skip
        assert all(np.isfinite(getattr(state, name)).all() for name in FIELDS)

    def test_the_masked_move_and_the_others_stand(self, arms: RobotBatch) -> None:
        """Their clocks stand too."""
        first = arms.reset(EVERYONE, self._starts())
        after = arms.exchange(Command(np.zeros(N), tcp=first.tcp + [0, 0, -0.01, 0, 0, 0]), SOME)
        assert after.time == pytest.approx(np.where(SOME, PERIOD, 0.0), abs=1e-9)
        assert (after.tcp[SOME, 2] < first.tcp[SOME, 2] - 0.001).all()
        for name in FIELDS:
            assert np.array_equal(getattr(after, name)[~SOME], getattr(first, name)[~SOME]), name

    def test_a_masked_reset_leaves_the_others_history_alone(self, arms: RobotBatch) -> None:
        """They go on as if nothing had happened."""
        other = self._connected(N)
        begin = self._starts()
        for batch in (arms, other):
            state = batch.reset(EVERYONE, begin)
            batch.exchange(Command(np.zeros(N), tcp=state.tcp + 0.005))
        arms.reset(SOME, self._starts(seed=9))
        a, b = (batch.exchange(Command(np.zeros(N), tcp=begin.tcp + 0.003)) for batch in (arms, other))
        for name in FIELDS:
            assert np.array_equal(getattr(a, name)[~SOME], getattr(b, name)[~SOME]), name
        assert not np.array_equal(a.q[SOME], b.q[SOME])
        other.close()

    def test_rows_outside_the_mask_are_not_looked_at(self, arms: RobotBatch) -> None:
        """A start or an order that means nothing does no harm there."""
        begin = self._starts()
        arms.reset(EVERYONE, begin)
        begin.tcp[~SOME] = np.nan
        state = arms.reset(SOME, begin)
        order = state.tcp.copy()
        order[~SOME] = np.nan
        after = arms.exchange(Command(np.zeros(N), tcp=order), SOME)
        assert np.isfinite(after.tcp).all()

    def test_an_order_that_means_nothing_is_refused_before_any_arm_moves(self, arms: RobotBatch) -> None:
        """BadAction for one bad row; the others have not moved either."""
        first = arms.reset(EVERYONE, self._starts())
        order = first.tcp + [0.02, 0, 0, 0, 0, 0]
        order[N - 1, 1] = np.nan
        with pytest.raises(BadAction):
            arms.exchange(Command(np.zeros(N), tcp=order))
        self._as_if_nothing_had_happened(arms, first)

    def test_what_cannot_be_reached_is_refused_before_any_arm_moves(self, arms: RobotBatch) -> None:
        """Unreachable, and the episodes go on."""
        first = arms.reset(EVERYONE, self._starts())
        far = self._starts(seed=9)
        far.tcp[N - 1, 0] = 5.0
        with pytest.raises(Unreachable):
            arms.reset(EVERYONE, far)
        self._as_if_nothing_had_happened(arms, first)

    def test_an_arm_that_was_not_reset_does_not_move(self, arms: RobotBatch) -> None:
        """NotReset, also where only some were."""
        still = Command(np.zeros(N), tcp=self._starts().tcp)
        with pytest.raises(NotReset):
            arms.exchange(still)
        arms.reset(SOME, self._starts())
        with pytest.raises(NotReset):
            arms.exchange(still)
        arms.exchange(still, SOME)

    def test_a_state_is_never_written_again(self, arms: RobotBatch) -> None:
        """Through exchanges of some and a reset."""
        kept = [arms.reset(EVERYONE, self._starts())]
        copies = [{name: np.array(getattr(kept[0], name)) for name in FIELDS}]
        for mask in (None, SOME):
            kept.append(arms.exchange(Command(np.zeros(N), tcp=kept[-1].tcp + 0.004), mask))
            copies.append({name: np.array(getattr(kept[-1], name)) for name in FIELDS})
        arms.reset(SOME, self._starts(seed=9))
        for state, copy in zip(kept, copies, strict=True):
            assert all(np.array_equal(getattr(state, name), value) for name, value in copy.items())

    def test_use_after_close_is_refused_and_connect_and_close_may_come_twice(self, arms: RobotBatch) -> None:
        """Closed, not a crash; a negative compliance is a BadOption before."""
        arms.connect()
        arms.reset(EVERYONE, self._starts())
        own = arms.spec.compliance
        with pytest.raises(BadOption):
            arms.set_compliance(type(own)(-own.stiffness, own.damping, own.error_clip))
        arms.close()
        arms.close()
        with pytest.raises(Closed):
            arms.reset(EVERYONE, self._starts())

    def _connected(self, count: int, control: str = "tcp") -> RobotBatch:
        arms = self.make_batch(self._task(), count, control).robot
        arms.connect()
        return arms

    def _task(self) -> Bench:
        return Bench(specs.spec(self.robot))

    def _start(self, seed: int) -> Start:
        start = self._task().start(np.random.default_rng(seed))
        return Start(start.tcp, start.gripper, start.objects, start.progress, seed)

    def _starts(self, seed: int = 0) -> Start:
        rows = [self._start(seed + i) for i in range(N)]
        return Start(
            tcp=np.stack([s.tcp for s in rows]),
            gripper=np.zeros(N),
            objects=np.stack([s.objects for s in rows]),
            progress=np.zeros((N, 0)),
            seed=np.arange(N) + seed,
        )

    def _orders(self, state: RobotState, rng: np.random.Generator, control: str) -> dict[str, F64]:
        """Random steps; TCP orders also go down onto the plate."""
        if control == "joint":
            return {"joints": state.q + rng.uniform(-0.03, 0.03, state.q.shape)}
        return {"tcp": state.tcp + rng.uniform(-0.02, 0.02, (N, 6)) - [0, 0, 0.015, 0, 0, 0]}

    def _assert_row(self, state: RobotState, i: int, single: RobotState) -> None:
        for name in FIELDS:
            row, alone = np.asarray(getattr(state, name)[i]), np.asarray(getattr(single, name))
            assert (row.shape, row.dtype) == (alone.shape, alone.dtype), name
            if self.tolerance == 0.0:
                assert row.tobytes() == alone.tobytes(), f"{name} of arm {i} differs by {np.abs(row - alone).max():.3g}"
            else:
                assert np.abs(row - alone).max() <= self.tolerance, f"{name} of arm {i}"

    def _as_if_nothing_had_happened(self, arms: RobotBatch, first: RobotState) -> None:
        fresh = self._connected(N)
        fresh.reset(EVERYONE, self._starts())
        a, b = (batch.exchange(Command(np.zeros(N), tcp=first.tcp)) for batch in (arms, fresh))
        for name in FIELDS:
            assert np.abs(getattr(a, name) - getattr(b, name)).max() <= self.tolerance, name
        fresh.close()
