"""Inference that a transfer slows down, simulated: step durations at a limit, with noise and late steps. Deterministic."""

import random
from dataclasses import dataclass

from user_gym.system.cap import Governor

LEVELS = (1, 2, 4, 8, 16, 32, 64, 132)

# Relative slowdown at k multiprocessors, after t steps.
PLANTS = {
    "linear": lambda k, t: 0.002 * k,
    "knee": lambda k, t: 0.001 * k if k <= 16 else 0.5,
    "offset": lambda k, t: 0.02 + 0.0005 * k,
    "free": lambda k, t: 0.0,
    "steep": lambda k, t: 0.04 * k,
}
BEST = {"linear": 16, "knee": 16, "offset": 32, "free": 132, "steep": 1}  # the level with no more room, or with a breach above


@dataclass
class Course:
    """What happened to a governor."""

    governor: Governor
    limits: list  # of every step
    slowdowns: list  # true ones, of the steps beside the transfer
    changes: list  # steps at which the level changed

    def mean(self, begin=0):
        return sum(self.slowdowns[begin:]) / len(self.slowdowns[begin:])


def run(curve, steps, noise=0.0, duty=1.0, seed=0, late=0.0, base=lambda t: 0.01, governor=None):
    """So many steps; a share `duty` of those that may be are beside the transfer, a share `late` lasts ten times as long."""
    chance = random.Random(seed)
    governor = governor or Governor(LEVELS)
    course = Course(governor, [], [], [])
    before = governor.state().changes
    for t in range(steps):
        limit = governor.limit
        beside = limit > 0 and chance.random() < duty
        slowdown = curve(limit, t) if beside else 0.0
        duration = base(t) * (1 + slowdown) * max(0.2, 1 + chance.gauss(0, noise))
        if chance.random() < late:
            duration *= 10
        course.limits.append(limit)
        if beside:
            course.slowdowns.append(slowdown)
        governor.observe(duration, beside)
        if governor.state().changes != before:
            before = governor.state().changes
            course.changes.append(t)
    return course
