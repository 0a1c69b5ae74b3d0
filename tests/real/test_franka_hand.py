"""A hand that is late with its width, and one that is gone."""

import queue
from types import SimpleNamespace

import pytest

from user_gym.errors import LinkLost
from user_gym.real.franka.hand import FrankaHand
from user_gym.robots import specs

WIDTH = 0.04  # m


class Late:
    """A client that answers what it is told to, and the clock that goes on while it does not."""

    def __init__(self):
        self.time, self.says, self.heard = 0.0, queue.Queue(), queue.Queue()

    def read(self):
        said = self.says.get(timeout=10)
        self.heard.put(said)
        if said is None:
            self.time += 1.0  # libfranka waits so long
            raise RuntimeError("UDP receive: Timeout")
        return SimpleNamespace(width=said, is_grasped=False)

    def say(self, *answers):
        for answer in answers:
            self.says.put(answer)
        for _ in answers:
            self.heard.get(timeout=10)


@pytest.fixture
def late():
    client = Late()
    client.hand = FrankaHand(specs.spec("franka-fr3").gripper, None, client.read, lambda: client.time)
    client.says.put(WIDTH)
    client.hand.open()
    client.heard.get(timeout=10)
    yield client
    client.says.put(WIDTH)
    client.hand.close()


def test_a_width_that_is_late_is_waited_for(late):
    late.say(None, None, None, None, WIDTH / 2, WIDTH / 2)  # the first of two is known once the second was asked for
    assert late.hand.opening == pytest.approx(0.25)


def test_a_hand_that_tells_no_width_for_seconds_is_gone(late):
    late.say(*[None] * 6)
    late.hand._threads[1].join(10)
    with pytest.raises(LinkLost, match=r"the hand's width is not known any more: UDP receive: Timeout; reset"):
        _ = late.hand.opening
