from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_rlpd import TINY, batch, has_egl, spaces

from baselines import online, sac_flow
from baselines.networks import Ensemble
from baselines.online import frozen
from baselines.play import Play, play
from baselines.sac_flow import Config, SacFlow, carried
from user_gym.core import Agent, Policy, Weights
from user_gym.errors import BadOption, WrongRun

STATE = np.array([0.3, -1.0, 2.0], np.float32)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setattr(online, "GLANCE", 1)
    return Config(**TINY, run_dir=tmp_path / "run")


def velocity(steps: int, axes: int, seed: int = 0):
    """A network of three features with large outputs, so that every part of it matters."""
    net = Ensemble(1, (3 + axes + steps, 16, 3 * axes), normalise=False)
    vector = net.initial(torch.Generator().manual_seed(seed), last=1.0)
    return lambda x: net(vector.to(x.dtype), x)[0]


@pytest.mark.parametrize(("steps", "axes"), [(1, 1), (1, 3), (4, 2)])
def test_the_density_of_a_way_is_that_of_its_noise_over_the_volume_it_was_stretched_to(steps, axes):
    # The truth: noise (steps + 1, a) to the places of the way, whose last is the action, is one map, and its density follows
    # from the determinant of its Jacobian, here by central differences. No formula of the sampler is used.
    network, features = velocity(steps, axes), torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64)
    noise = torch.randn((steps + 1, 1, axes), generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def way(flat: torch.Tensor) -> torch.Tensor:
        places: list[torch.Tensor] = []

        def watched(x: torch.Tensor) -> torch.Tensor:
            places.append(x[0, 3 : 3 + axes])
            return network(x)

        action, _ = carried(watched, features, flat.reshape(noise.shape))
        return torch.cat([*places, action[0]])

    flat, h = noise.flatten(), 1e-6
    columns = [(way(flat + h * unit) - way(flat - h * unit)) / (2 * h) for unit in torch.eye(len(flat), dtype=torch.float64)]
    _, log_volume = torch.linalg.slogdet(torch.stack(columns, -1))
    truth = torch.distributions.Normal(0.0, 1.0).log_prob(flat).sum() - log_volume
    _, log_density = carried(network, features, noise)
    assert float(log_density) == pytest.approx(float(truth), abs=1e-5)


def test_densities_of_actions_that_come_in_one_step_add_up_to_one():
    # One axis, one step: over all beginnings (a draw of them) and actions (a grid) the density of the way must integrate to 1.
    network, count, grid = velocity(1, 1), 400, torch.linspace(-8, 8, 4001, dtype=torch.float64)
    features = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64).expand(len(grid), -1)
    total = 0.0
    for start in torch.linspace(-5, 5, count, dtype=torch.float64):
        noise = torch.stack([start.expand(len(grid), 1), grid[:, None]])
        action, log_density = carried(network, features, noise)
        total += float(torch.trapezoid(log_density.exp(), action[:, 0])) * 10 / (count - 1)
    assert total == pytest.approx(1.0, abs=1e-3)


def test_the_gradient_of_an_action_reaches_the_actor_through_every_step():
    outputs: list[torch.Tensor] = []
    network = velocity(4, 2)

    def watched(x: torch.Tensor) -> torch.Tensor:
        outputs.append(network(x).requires_grad_())
        return outputs[-1]

    noise = torch.randn((5, 6, 2), generator=torch.Generator().manual_seed(0))
    action, log_density = carried(watched, torch.zeros(6, 3), noise)
    for made in (action.sum(), log_density.sum()):
        gradients = torch.autograd.grad(made, outputs, retain_graph=True)
        assert len(gradients) == 4
        for gradient in gradients:
            gate, aim, log_std = gradient.chunk(3, -1)
            assert all((part != 0).any() for part in (gate, aim, log_std))


def test_an_open_gate_lets_the_gradient_through_neither_vanishing_nor_exploding():
    network = SacFlow(*spaces(), Config(hidden=16, flow_steps=30)).actor_output
    start = torch.zeros(1, 1, 2, requires_grad=True)
    action, _ = carried(network, torch.zeros(1, 3), torch.cat([start, torch.zeros(30, 1, 2)]))
    (gradient,) = torch.autograd.grad(action.sum(), start)
    assert 0.2 < float(gradient.min()) < float(gradient.max()) < 0.6  # (1 - 1/30)^30 = 0.36


def test_agent_and_policy_keep_the_protocols_of_core():
    agent = SacFlow(*spaces(), Config())
    assert isinstance(agent, Agent)
    assert isinstance(agent.policy, Policy)


def test_the_policy_acts_in_numpy_as_the_sampler_does_in_torch():
    agent = SacFlow(*spaces(), Config(hidden=16, learning_rate=1e-2))
    for i in range(40):
        agent.update(batch(seed=i))
    policy, features = frozen(agent), torch.from_numpy(STATE[None])
    noise = torch.from_numpy(np.random.default_rng(7).standard_normal((5, 1, 2), np.float32))
    drawn, _ = carried(agent.actor_output, features, noise)
    policy.reset(7)
    np.testing.assert_allclose(policy.act({"state": STATE}).actions[0], drawn[0].detach(), atol=1e-5)


def test_deterministic_episodes_repeat_each_other_whatever_was_drawn_before():
    policy, episodes = SacFlow(*spaces(), Config(hidden=8)).policy, []
    for seed in (0, 1):
        policy.reset(seed)
        policy.act({"state": STATE})
        episodes.append([policy.act({"state": STATE}, deterministic=True).actions[0] for _ in range(3)])
    np.testing.assert_array_equal(episodes[0], episodes[1])
    assert not np.array_equal(episodes[0][0], episodes[0][1])


def test_weights_fit_only_a_policy_with_as_many_steps():
    agent, other = (SacFlow(*spaces(), Config(hidden=8, flow_steps=steps)) for steps in (4, 5))
    with pytest.raises(BadOption, match="spec_hash"):
        agent.policy.load(Weights(3, other.weights(), other.policy.spec_hash))
    with pytest.raises(BadOption, match=r"flow_steps 0; allowed: 1 \.\. 100"):
        Config(flow_steps=0)


def test_a_restored_agent_acts_the_same_and_goes_on_bit_for_bit(tmp_path):
    one, two = (SacFlow(*spaces(), Config(hidden=8)) for _ in range(2))
    for i in range(8):
        one.update(batch(seed=i))
    one.save(tmp_path / "a.pt")
    two.restore(tmp_path / "a.pt")
    for policy in (policies := [frozen(one), frozen(two)]):
        policy.reset(3)
    for deterministic in (True, False, False):
        acted = [policy.act({"state": STATE}, deterministic).actions for policy in policies]
        np.testing.assert_array_equal(acted[0], acted[1])
    for agent in (one, two):
        for i in range(4):
            agent.update(batch(seed=10 + i))
    np.testing.assert_array_equal(one.actor.detach(), two.actor.detach())
    np.testing.assert_array_equal(one.target, two.target)
    with pytest.raises(WrongRun, match="another shape"):
        SacFlow(*spaces(), Config(hidden=8, flow_steps=2)).restore(tmp_path / "a.pt")


def test_equal_seeds_give_equal_agents_and_other_seeds_others():
    actors = []
    for seed in (0, 0, 1):
        agent = SacFlow(*spaces(), Config(hidden=8, seed=seed))
        for i in range(8):
            agent.update(batch(seed=i))
        actors.append(agent.actor.detach().numpy().copy())
    np.testing.assert_array_equal(actors[0], actors[1])
    assert not np.array_equal(actors[0], actors[2])


def test_a_little_training_brings_drawn_and_deterministic_actions_to_what_is_rewarded():
    # One step, then it is over: the more reward the nearer the action is to the wanted one, which is another in each of two
    # states.
    config = Config(hidden=32, learning_rate=3e-3, actor_every=1, temperature=0.001, steps=100_000)
    agent, rng = SacFlow(*spaces(), config), np.random.default_rng(0)
    states = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    wanted = np.array([[0.6, 0.6], [-0.5, 0.2]], np.float32)

    def missed(deterministic: bool) -> float:
        policy = frozen(agent)
        policy.reset(0)
        acted = [[policy.act({"state": state}, deterministic).actions[0] for _ in range(30)] for state in states]
        return float(np.linalg.norm(np.array(acted) - wanted[:, None], axis=-1).mean())

    before = [missed(deterministic) for deterministic in (False, True)]
    for _ in range(300):
        which, tried = rng.integers(2, size=64), rng.uniform(-1, 1, (64, 2)).astype(np.float32)
        reward = np.exp(-4 * np.square(tried - wanted[which]).sum(-1)).astype(np.float32)
        given = replace(batch(64), ordered=tried, reward=reward, terminated=np.ones(64, bool))
        agent.update(replace(given, obs={"state": states[which]}))
    after = [missed(deterministic) for deterministic in (False, True)]
    assert min(before) > 0.5
    assert max(after) < 0.25


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_run_ends_with_a_summary_and_can_be_played(tiny, asynchronous):
    config = replace(tiny, asynchronous=asynchronous)
    summary = sac_flow.main(config)
    assert summary is not None
    assert (summary["env_steps"], summary["updates"], summary["eval_episodes"]) == (40, 120, 2)
    assert sac_flow.main(config) == summary  # finished: nothing is trained again
    result = play(Play(config.folder, episodes=2))
    assert (result.success, result.length) == (summary["success_rate"], summary["mean_length"])


def test_a_folder_of_a_run_says_which_method_it_is_of():
    assert Config().folder.name.startswith("sac-flow-PegInsert-sim-v0-franka-fr3-state-seed0")


def test_pictures_are_learned_from(tiny):
    reason = has_egl()
    if reason:
        pytest.skip(reason)
    few = {"steps": 6, "learning_starts": 4, "batch_size": 2, "eval_episodes": 1}
    summary = sac_flow.main(replace(tiny, obs="pixels", **few))
    assert summary is not None
    assert (summary["env_steps"], summary["updates"]) == (6, 8)
