"""Trials of the link: the robot on a counted clock, and short trials through a real relay."""

from __future__ import annotations

import json

import numpy as np
import pytest

from user_gym.cli.main import main
from user_gym.errors import BadOption
from user_gym.system.link.trial import Network, PacedCameras, Trial
from user_gym.system.link.trial.paced import ROW_BYTES, drawn

ACTION = np.zeros(6, np.float32)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def paced():
    clock = Clock()
    env = PacedCameras(10.0, 4, drawn(3), clock=clock, sleep=clock.sleep)
    env.reset()
    return env, clock


def test_orders_in_time_keep_the_beat(paced):
    env, clock = paced
    for _ in range(4):
        clock.now += 0.005
        step = env.step(ACTION)
    assert step[3]
    assert env.periods == [True] * 4
    assert env.episodes == [pytest.approx(0.4)]


def test_a_late_order_begins_a_period_of_its_own(paced):
    env, clock = paced
    for late in (0.0, 0.05, 0.0, 0.3):
        clock.now += late
        env.step(ACTION)
    assert env.periods == [True, False, True, False]
    assert env.episodes == [pytest.approx(0.75)]


def test_steps_are_numbered_over_all_episodes(paced):
    env, _ = paced
    rewards = []
    for _ in range(2):
        env.reset()
        rewards += [env.step(ACTION)[1] for _ in range(4)]
    assert rewards == list(range(8))


def test_an_observation_has_the_bytes_that_are_said(paced):
    env, _ = paced
    obs, _ = env.reset()
    assert env.observation_space.contains(obs)
    assert sum(column.nbytes for column in obs.values()) == ROW_BYTES


def test_a_trial_stores_every_step_once_and_hears_the_edge_after_an_outage(tmp_path):
    report = Trial(Network(rtt=0.02, rate=None, outage=0.3), 50.0, 20, 2).run(tmp_path)
    assert (report.steps, report.lost, report.doubled) == (40, 0, 0)
    assert len(report.episodes) == 2
    assert min(report.episodes) >= report.ideal
    assert report.periods == 40
    assert report.upload >= 0.4 + 0.3 - 0.2  # silence began in the middle of the robot's 0.8 s
    assert report.reconnected is not None
    assert report.reconnected < 10.0
    assert report.sent > 0


def test_the_command_says_what_it_saw(capsys):
    command = ["bench", "link", "--rtt", "0.01", "--rate", "0", "--frequency", "100", "--steps", "10", "--episodes", "1"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "10 had their order in time" in shown
    assert "0, 0 of 10 steps" in shown
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["steps"], report["lost"], report["reconnected"]) == (10, 0, None)


@pytest.mark.parametrize(
    ("network", "options"),
    [(Network(rtt=-1.0), {}), (Network(outage=-1.0), {}), (Network(), {"steps": 0}), (Network(), {"frequency": 0.0})],
)
def test_options_are_checked(network, options):
    with pytest.raises(BadOption):
        Trial(network, **options)
