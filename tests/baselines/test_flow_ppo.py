"""PPO of a flow: the SDE it acts by, its likelihoods against other truths, and that it learns what is rewarded."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from baselines.flow_ppo import EXPERT, FlowPpo, FlowPpoConfig, Practice, advantages, log_likelihood
from baselines.vla_network import (
    FLOW_STEPS,
    MOST_WORDS,
    STATE,
    VlaNetwork,
    VlaPolicy,
    flow_loss,
    spelled,
    transition,
    walked,
)
from user_gym.errors import BadOption, WrongRun

torch.set_num_threads(1)
WORDS = torch.zeros(MOST_WORDS, dtype=torch.long)
OBS = {"wrist": np.zeros((16, 16, 3), np.uint8), "state": np.zeros(STATE, np.float32)}


def small(horizon: int = 2, axes: int = 3) -> VlaNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VlaNetwork(("wrist",), 16, axes, horizon, width=16, heads=2, layers=(1, 1))


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def memory(rows: int) -> torch.Tensor:
    return noise(rows, 5, 16, seed=2)


def test_without_noise_a_way_is_that_of_the_ode() -> None:
    net, drawn = small().double(), noise(4, FLOW_STEPS + 1, 2, 3)
    with torch.no_grad():
        ways, place = walked(net, memory(4), drawn, 0.0), drawn[:, 0]
        for step in range(FLOW_STEPS):
            place = place + net.velocity(memory(4), place, torch.full((4,), step / FLOW_STEPS)) / FLOW_STEPS
        torch.testing.assert_close(ways[:, -1], place)
        assert not torch.allclose(ways[:, -1], walked(net, memory(4), drawn, 0.5)[:, -1])


def test_what_was_learned_is_served_by_the_way_it_acted() -> None:
    net = small()
    policy = VlaPolicy(net, "", 3, steps=4, noise_level=0.3)
    policy.reset(5)
    agent = FlowPpo(net, (1, 1), 1, FlowPpoConfig(seed=5))
    ways = agent.draw([OBS], torch.from_numpy(spelled("")))[1]
    assert policy.act(OBS).actions == pytest.approx(ways[0, -1].clamp(-1.0, 1.0).numpy(), abs=1e-5)


def test_the_likelihood_of_a_way_is_that_of_its_noise_over_the_volume_it_was_stretched_to() -> None:
    # The truth: noise of all steps to places of all steps is one map, and its density follows from the determinant of its
    # Jacobian, here by central differences. No formula of the likelihood is used.
    net, steps = small().double(), 3
    start, drawn, h = noise(1, 1, 2, 3), noise(steps * 6, seed=3), 1e-5

    def way(flat: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return walked(net, memory(1), torch.cat([start, flat.reshape(1, steps, 2, 3)], 1), 0.7)

    columns = [(way(drawn + h * unit) - way(drawn - h * unit))[:, 1:].flatten() / (2 * h) for unit in torch.eye(len(drawn))]
    _, log_volume = torch.linalg.slogdet(torch.stack(columns, -1))
    truth = torch.distributions.Normal(0.0, 1.0).log_prob(drawn).sum() - log_volume
    found = log_likelihood(net, memory(1), way(drawn), 0.7, (2, 3))
    assert float(found.detach()) == pytest.approx(float(truth), abs=1e-5)


def test_only_actions_that_are_carried_out_count() -> None:
    net, steps, level = small().double(), 4, 0.5
    drawn = noise(3, steps + 1, 2, 3)
    with torch.no_grad():
        ways = walked(net, memory(3), drawn, level)
        found = log_likelihood(net, memory(3), ways, level, (1, 2))
        deviations = [
            transition(net, memory(3), ways[:, k], torch.full((3,), k / steps), 1 / steps, level)[1] for k in range(4)
        ]
    own = torch.distributions.Normal(0.0, 1.0).log_prob(drawn[:, 1:, :1, :2]).flatten(1).sum(1)
    torch.testing.assert_close(found, own - 2 * torch.cat(deviations, 1).log().sum((1, 2)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_noise_leaves_what_a_flow_makes_as_it_is(level: float) -> None:
    # The velocity of the flow to a normal distribution is known in closed form.
    mean, deviation = 0.4, 0.3

    def velocity(_: torch.Tensor, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        t = time[:, None, None]
        gain = (t * deviation**2 - (1 - t)) / ((1 - t) ** 2 + (t * deviation) ** 2)
        return mean + gain * (x - t * mean)

    net: Any = SimpleNamespace(velocity=velocity)
    made = walked(net, torch.zeros(20_000, 1, 1), noise(20_000, 101, 1, 1), level)[:, -1]
    assert float(made.mean()) == pytest.approx(mean, abs=0.01)
    assert float(made.std()) == pytest.approx(deviation, abs=0.01)


def test_advantages_are_sums_of_what_was_better_than_expected_within_an_episode() -> None:
    reward, value = torch.tensor([0.0, 1.0, 0.0, 0.5]), torch.tensor([0.2, 0.6, 0.3, 0.1])
    episode = torch.tensor([0, 0, 1, 1])
    whole = advantages(reward, value, episode, 0.9, 1.0)
    torch.testing.assert_close(whole, torch.tensor([0.9, 1.0, 0.45, 0.5]) - value)
    next_only = advantages(reward, value, episode, 0.9, 0.0)
    torch.testing.assert_close(next_only, torch.tensor([0.9 * 0.6 - 0.2, 0.4, 0.9 * 0.1 - 0.3, 0.4]))


def collected(agent: FlowPpo, rows: int = 128) -> Practice:
    """Chunks of one action, rewarded where it is above 0."""
    memory, ways = agent.draw([OBS] * rows, WORDS)
    reward = (ways[:, -1, 0, 0] > 0.0).float()
    return Practice(memory, torch.ones(rows, 1), ways, torch.arange(rows), reward, float(reward.mean()), rows)


def two_modes() -> VlaNetwork:
    """A flow of one axis to about -0.7 and 0.7, equally often."""
    net, generator = small(1, 1), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    seen = {"wrist": torch.zeros(1, 16, 16, 3, dtype=torch.uint8)}
    actions = torch.tensor([[[-0.7]], [[0.7]]]).repeat(32, 1, 1)
    for _ in range(60):
        read = net.read(seen, torch.zeros(1, STATE), WORDS[None]).expand(64, -1, -1)
        loss = flow_loss(net, read, actions, torch.ones_like(actions), 1, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net


def test_a_flow_with_two_modes_learns_to_prefer_the_one_that_is_rewarded() -> None:
    net = two_modes()
    agent = FlowPpo(net, (1, 1), 1, FlowPpoConfig(learning_rate=1e-3, furthest=1.0))
    before = {name: value.clone() for name, value in net.state_dict().items()}

    def preferred() -> float:
        read = agent.draw([OBS], WORDS)[0]
        with torch.no_grad():
            return float((net.sample(read.expand(500, -1, -1), noise(500, 9, 1, 1).float()) > 0.0).float().mean())

    assert 0.3 < preferred() < 0.7
    for _ in range(12):
        agent.update(collected(agent))
    assert preferred() > 0.95
    for name, value in net.state_dict().items():  # what reads is as it was
        assert torch.equal(value, before[name]) == (name.split(".")[0] not in EXPERT), name


def test_a_policy_that_has_not_learned_yet_has_moved_nowhere() -> None:
    agent = FlowPpo(small(1, 1), (1, 1), 1, FlowPpoConfig(learning_rate=1e-8, epochs=2))
    told = agent.update(collected(agent))
    assert told.divergence == pytest.approx(0.0, abs=1e-6)
    assert told.epochs == 2


def test_updates_end_when_the_policy_has_moved_far() -> None:
    agent = FlowPpo(small(1, 1), (1, 1), 1, FlowPpoConfig(learning_rate=1e-2, furthest=0.0))
    assert agent.update(collected(agent, 512)).epochs == 1  # the second batch has seen what the first one did


def test_the_critic_comes_to_expect_what_there_is_to_earn() -> None:
    agent = FlowPpo(small(1, 1), (1, 1), 1, FlowPpoConfig(learning_rate=1e-8, batch_size=32))
    practice = collected(agent, 64)
    for _ in range(20):
        agent.update(practice)
    with torch.no_grad():
        assert float(agent.critic(practice.told).mean()) == pytest.approx(practice.success, abs=0.05)


def test_where_all_episodes_earned_the_same_there_is_no_variance_to_explain() -> None:
    agent = FlowPpo(small(1, 1), (1, 1), 1, FlowPpoConfig())
    practice = collected(agent, 64)
    told = [agent.update(replace(practice, reward=torch.full((64,), reward))).explained for reward in (0.0, 1.0)]
    assert told == [None, None]
    explained = agent.update(practice).explained
    assert explained is not None
    assert explained <= 1.0


def test_one_chunk_alone_is_learned_from_without_harm() -> None:
    agent = FlowPpo(small(1, 1), (1, 1), 1, FlowPpoConfig())
    agent.update(collected(agent, 1))
    assert all(bool(value.isfinite().all()) for value in agent.net.state_dict().values())


def test_what_was_saved_goes_on_as_it_would_have(tmp_path: Path) -> None:
    one, two = (FlowPpo(small(1, 1), (1, 1), 1, FlowPpoConfig()) for _ in range(2))
    one.update(collected(one))
    one.save(tmp_path / "agent.pt")
    two.restore(tmp_path / "agent.pt")
    for agent in (one, two):
        agent.update(collected(agent))
    assert two.iterations == 2
    for (name, value), other in zip(one.net.state_dict().items(), two.net.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    with pytest.raises(WrongRun, match="networks of another shape"):
        FlowPpo(small(2, 1), (1, 1), 1, FlowPpoConfig()).restore(tmp_path / "agent.pt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_level": 0.0}, "bad noise_level 0.0; allowed: 0.001 .. 1: the ODE alone has no likelihood"),
        ({"flow_steps": 0}, "bad flow_steps 0"),
        ({"clip": 2.0}, "bad clip 2.0"),
        ({"discount": 1.1}, "bad discount 1.1"),
        ({"furthest": -1.0}, "bad furthest -1.0"),
        ({"learning_rate": math.nan}, "bad learning_rate nan"),
        ({"critic_rate": 0.0}, "bad critic_rate 0.0"),
        ({"trace": -0.1}, "bad trace -0.1"),
        ({"epochs": 0}, "bad epochs 0"),
        ({"batch_size": 1.5}, "bad batch_size 1.5"),
        ({"seed": -1}, "bad seed -1"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        FlowPpoConfig(**options)
