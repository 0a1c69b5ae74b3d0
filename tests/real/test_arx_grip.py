"""The jaw of an ARX arm closes at full speed on something that yields: it holds that, and does not press on with all it has."""

import numpy as np
import pytest

from user_gym.real.arx.law import Grip, Measured
from user_gym.robots import motors, specs

JAW = motors.ARMS["arx-x5"].jaw
PERIOD = 0.005  # s of a cycle
BOUNCE = 12  # cycles that the jaw trembles on what it has met, so that it does not stand


def told(jaw: float, speed: float, torque: float) -> Measured:
    none = np.zeros(6)
    return Measured(0.0, 0, none, none, none, none, None, jaw, speed, torque, none)  # type: ignore[arg-type]


@pytest.mark.parametrize(("begin", "target"), [(JAW.open_angle, 0.0), (0.0, JAW.open_angle)])
def test_once_the_jaw_stands_it_presses_with_what_it_holds_with(begin, target) -> None:
    grip = Grip(JAW, specs.spec("arx-x5").gripper.speed, begin)
    grip.target, stop = target, (begin + target) / 2
    at, pressed = begin, []
    while abs(at - stop) > 0.05:  # the jaw follows
        at = grip.order(told(at, 17.0, 0.1), PERIOD).position
    for k in range(BOUNCE + 200):
        torque = pressed[-1] if pressed else 0.1
        order = grip.order(told(stop, 5.0 if k < BOUNCE else 0.0, torque), PERIOD)
        pressed.append(order.kp * (order.position - stop))
    assert abs(pressed[BOUNCE - 1]) > 2 * JAW.most_torque  # what it had come to
    held = abs(np.array(pressed[BOUNCE:]))
    assert held.max() < JAW.most_torque
    assert held.mean() > 0.9 * JAW.hold_torque
