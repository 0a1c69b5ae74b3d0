"""What the link between client and arm does with commands, without a twin around it."""

from user_gym.sim.fci.faults import Faults


def test_a_late_command_is_not_taken_into_the_next_motion() -> None:
    faults = Faults()
    faults.delay(2)
    assert [faults.carry(k) for k in (1, 2, 3)] == [None, None, 1]
    faults.begin()
    assert [faults.carry(k) for k in (4, 5, 6)] == [None, None, 4]
