"""What a driver of either Franka arm must do, on a twin that speaks its bytes. A subclass names the vendor's client."""

from contextlib import contextmanager

import numpy as np
import pytest
from franka_rig import Rig, address

from user_gym.robots import registry, specs
from user_gym.sim.fci.twin import FciTwin

STIFFNESS, DAMPING, CLIP = 2000.0, 89.0, (0.003, 0.003, 0.010)


class FrankaDriverCases:
    """Each test gets a twin of its own; the client's process lives for the class."""

    vendor = ""
    robot = ""

    @pytest.fixture(scope="class")
    @classmethod
    def rig(cls):
        rig = Rig()
        yield rig
        rig.close()

    @contextmanager
    def served(self, mode="gated"):
        spec = specs.SPECS[self.robot]
        at = address()
        with FciTwin(spec, registry.make_task("PegInsert", spec, {"hole_offset": 0.0}), address=at, mode=mode):
            yield at

    @pytest.fixture
    def twin(self):
        with self.served() as at:
            yield at

    def test_a_reset_ends_at_its_pose_and_posture_and_orders_are_followed_on_the_robots_own_clock(self, rig, twin):
        told = rig.run("follow", self.vendor, twin)
        np.testing.assert_allclose(told["reset"], 0.0, atol=2e-4)
        np.testing.assert_allclose(told["posture"], 0.0, atol=1e-3)
        np.testing.assert_allclose(told["first"], 0.0, atol=5e-4)
        assert told["begun"] == 0.0
        assert told["time"] == pytest.approx(1.5, abs=1e-9)
        np.testing.assert_allclose(told["tracked"], 0.0, atol=1e-3)
        np.testing.assert_allclose(told["velocity"], 0.0, atol=1e-2)
        assert told["held"] < 5e-3
        np.testing.assert_allclose(told["drift"], 0.0, atol=3e-3)
        assert np.abs(told["tau"]).max() > 10.0  # it carries the arm's own weight

    @pytest.mark.parametrize(("axis", "sign"), [(0, 1.0), (1, 1.0), (2, -1.0)])
    def test_the_clip_and_the_damping_bound_the_speed_of_a_far_order(self, rig, twin, axis, sign):
        told = rig.run("cruise", self.vendor, twin, axis)
        free = sign * STIFFNESS * CLIP[axis] / DAMPING
        assert told["speed"] == pytest.approx(free, rel=0.05)
        assert told["velocity"] == pytest.approx(free, rel=0.05)

    def test_a_press_on_the_board_has_the_tasks_stiffness_and_its_clip(self, rig, twin):
        at_4mm, at_8mm, far = rig.run("press", self.vendor, twin, [0.004, 0.008, 0.04])
        for state in (at_4mm, at_8mm):  # force over what the order is below the tool
            assert state[2] / state[8] == pytest.approx(STIFFNESS, rel=0.02)
        assert far[2] == pytest.approx(STIFFNESS * CLIP[2], rel=0.01)
        assert far[2] > 0  # the board pushes the tool up

    def test_a_softer_compliance_acts_from_the_next_order_on(self, rig, twin):
        (state,) = rig.run("press", self.vendor, twin, [0.006], softer=0.5)
        assert state[2] / state[8] == pytest.approx(STIFFNESS / 2, rel=0.02)

    def test_random_orders_do_not_turn_the_elbow_away(self, rig, twin):
        assert rig.run("random_policy", self.vendor, twin, 60)["elbow"] < 0.15

    def test_joint_control_reaches_joints_and_refuses_what_is_for_the_tool(self, rig, twin):
        told = rig.run("joints", self.vendor, twin)
        np.testing.assert_allclose(told["off"], 0.0, atol=3e-3)
        assert told["wrong"][0] == "BadAction"
        assert told["soft"][0] == "BadOption"

    def test_the_hand_opens_and_closes_while_the_arm_follows(self, rig, twin):
        told = rig.run("hand", self.vendor, twin)
        assert told["opened"] > 0.9
        assert told["closed"] < 0.5

    def test_a_hand_that_misses_is_told_and_stops_nothing(self, rig, twin):
        told = rig.run("miss", self.vendor, twin, {"name": "gripper"})
        assert told["failure"]
        assert told["time"] == pytest.approx(4.0, abs=1e-9)

    @pytest.mark.parametrize("reason", ["joint_reflex", "cartesian_reflex", "power_limit_violation"])
    def test_a_reflex_is_named_and_after_recovery_the_arm_goes_on(self, rig, twin, reason):
        told = rig.run("fault", self.vendor, twin, {"name": "reflex", "reason": reason})
        kind, says = told["told"]
        assert kind == "Reflex"
        assert reason in says
        assert told["again"][0] == "NotReset"
        assert told["still"] < 1e-2
        np.testing.assert_allclose(told["off"], 0.0, atol=1e-3)

    def test_a_dead_link_is_told_in_seconds_and_recovery_builds_it_anew(self, rig, twin):
        told = rig.run("fault", self.vendor, twin, {"name": "dead"})
        assert told["told"][0] == "LinkLost"
        assert told["after"] < 40
        np.testing.assert_allclose(told["off"], 0.0, atol=1e-3)

    def test_a_user_stop_takes_a_person(self, rig, twin):
        told = rig.run("fault", self.vendor, twin, {"name": "user_stop"}, heal=False)
        assert told["told"][0] == told["unhealed"][0] == "Halted"
        assert "release the button" in told["unhealed"][1]
        np.testing.assert_allclose(told["off"], 0.0, atol=1e-3)

    def test_a_stop_on_the_way_to_a_start_ends_it_there_and_the_arm_can_go_again(self, rig, twin):
        told = rig.run("stop", self.vendor, twin)
        assert told["told"] == ("Stopped", "an operator said stop")
        assert told["speed"] < 1e-2
        assert told["motion"] == "idle"
        assert 1e-4 < told["off"][2] < 0.09
        assert abs(told["off"][1]) < 0.01
        np.testing.assert_allclose(told["then"], 0.0, atol=2e-4)

    def test_close_in_the_middle_of_a_motion_leaves_the_arm_still(self, rig, twin):
        assert rig.run("left", self.vendor, twin) < 1e-2

    def test_a_pose_out_of_reach_is_refused_before_anything_moves(self, rig, twin):
        told, moved = rig.run("unreachable", self.vendor, twin)
        assert told[0] == "Unreachable"
        assert moved < 1e-6

    def test_nobody_at_the_address_is_one_clear_error(self, rig):
        kind, says = rig.run("refused", self.vendor, address(), {})
        assert kind == "LinkLost"
        assert "check the address" in says

    @pytest.mark.slow
    def test_fresh_processes_and_twins_give_the_same_bits_whatever_the_learner_does(self):
        told = []
        for stall in (0.0, 2.0):
            rig = Rig()
            with self.served() as twin:
                told.append(rig.run("random_policy", self.vendor, twin, 100, stall)["hash"])
            rig.close()
        assert told[0] == told[1]

    @pytest.mark.parametrize("mode", ["gated", "paced"])
    def test_the_death_of_the_drivers_process_leaves_the_arm_still(self, rig, mode):
        doomed = Rig()
        with self.served(mode) as twin:
            doomed.send("die", self.vendor, twin, mode)
            doomed.gone()
            assert rig.run("look", self.vendor, twin) < 1e-2
