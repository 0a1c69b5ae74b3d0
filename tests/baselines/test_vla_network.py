"""The small VLA: what it reads, what becomes of noise, and that its policy is one that can be served."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.vla_network import FLOW_STEPS, MOST_WORDS, STATE, VlaNetwork, VlaPolicy, flow_loss, spelled
from user_gym.core import Policy, Weights
from user_gym.errors import BadOption
from user_gym.system.chunked import PREFIX, PROMPT, ChunkedPolicy

torch.set_num_threads(1)


def small(seed: int = 0, horizon: int = 4) -> VlaNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return VlaNetwork(("wrist", "side"), 32, 6, horizon, width=16, heads=2, layers=(1, 1))


def observation(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (2, 64, 64, 3), np.uint8)
    return {"state": rng.normal(size=STATE).astype(np.float32), "wrist": pictures[0], "side": pictures[1]}


def read(net: VlaNetwork, n: int, prompt: str = "insert the peg") -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    pictures = {name: torch.randint(0, 256, (n, 32, 32, 3), dtype=torch.uint8, generator=generator) for name in net.cameras}
    words = torch.from_numpy(spelled(prompt)).expand(n, -1)
    return net.read(pictures, torch.randn(n, STATE, generator=generator), words)


def test_several_chunks_of_an_observation_move_as_each_would_alone() -> None:
    net = small()
    memory, generator = read(net, 3), torch.Generator().manual_seed(2)
    chunks, times = torch.randn(6, 4, 6, generator=generator), torch.rand(6, generator=generator)
    together = net.velocity(memory, chunks, times)
    for i in range(6):
        alone = net.velocity(memory[i // 2 : i // 2 + 1], chunks[i : i + 1], times[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_everything_that_is_said_seen_and_felt_matters() -> None:
    policy = VlaPolicy(small(), "insert the peg", 6)
    obs = observation()
    base = policy.act(obs, deterministic=True).actions
    assert base.shape == (4, 6)
    np.testing.assert_array_equal(base, policy.act(obs, deterministic=True).actions)
    for name, other in observation(1).items():
        assert not np.array_equal(base, policy.act({**obs, name: other}, deterministic=True).actions), name
    assert not np.array_equal(base, policy.act({**obs, PROMPT: np.array("plug it in")}, deterministic=True).actions)
    assert not np.array_equal(base, policy.act({**obs, PROMPT: np.array("the peg insert")}, deterministic=True).actions)


def test_a_flow_that_was_learned_leads_from_noise_to_the_actions() -> None:
    net, generator = small(), torch.Generator().manual_seed(3)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    actions = torch.tensor([[[0.8, -0.5, 0.0, 0.3, -0.9, 0.1]] * 4, [[-0.8, 0.5, 0.2, -0.3, 0.9, -0.1]] * 4])
    counts = torch.ones_like(actions)
    counts[..., 5] = 0.0  # an axis that this robot does not have
    for _ in range(150):
        loss = flow_loss(net, torch.cat([read(net, 1, "left"), read(net, 1, "right")]), actions, counts, 8, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        memory = torch.cat([read(net, 1, "left"), read(net, 1, "right")])
        made = net.sample(memory, torch.randn(2, FLOW_STEPS + 1, 4, 6, generator=generator))
    # The two lie up to 1.8 apart, and noise from both by more.
    assert float((made - actions)[..., :5].abs().mean()) < 0.3


def test_a_chunk_begins_with_what_is_on_its_way() -> None:
    policy = VlaPolicy(small(), "insert", 5)
    prefix = np.linspace(-0.5, 0.5, 10, dtype=np.float32).reshape(2, 5)
    free = policy.act(observation(), deterministic=True).actions
    made = policy.act({**observation(), PREFIX: prefix}, deterministic=True).actions
    np.testing.assert_array_equal(made[:2], prefix)
    assert not np.array_equal(made[2:], free[2:])  # the rest goes on from there
    longer = np.zeros((9, 5), np.float32)
    assert policy.act({**observation(), PREFIX: longer}).actions.tolist() == longer[:4].tolist()


def test_equal_seeds_draw_equal_chunks() -> None:
    one, two = VlaPolicy(small(), "insert", 6, seed=1), VlaPolicy(small(), "insert", 6, seed=2)
    drawn = []
    for policy in (one, two, two):
        policy.reset(7)
        drawn.append(policy.act(observation()).actions)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[2], two.act(observation()).actions)


def test_a_policy_of_an_sde_draws_what_it_adds_and_adds_nothing_where_nothing_is_drawn() -> None:
    ode, sde = (VlaPolicy(small(), "insert", 6, noise_level=level) for level in (0.0, 0.5))
    for policy in (ode, sde):
        policy.reset(7)
    assert not np.array_equal(ode.act(observation()).actions, sde.act(observation()).actions)
    first, again = (sde.act(observation(), deterministic=True).actions for _ in range(2))
    np.testing.assert_array_equal(first, again)
    sde.reset(7)
    drawn = sde.act(observation()).actions
    sde.reset(7)
    np.testing.assert_array_equal(drawn, sde.act(observation()).actions)


def test_an_observation_that_lacks_what_the_model_sees_is_refused_by_name() -> None:
    obs = observation()
    del obs["side"]
    with pytest.raises(BadOption, match="lacks side; make the environment with obs='pixels'"):
        VlaPolicy(small(), "insert", 6).act(obs)


def test_weights_of_one_fit_the_other_and_no_other_model() -> None:
    policy, other = VlaPolicy(small(0), "insert", 6), small(1)
    assert isinstance(policy, Policy)
    arrays = {name: value.numpy() for name, value in other.state_dict().items()}
    before = policy.act(observation(), deterministic=True).actions
    policy.load(Weights(3, arrays, VlaPolicy(other, "", 6).spec_hash))
    assert policy.version == 3
    assert not np.array_equal(before, policy.act(observation(), deterministic=True).actions)
    with pytest.raises(BadOption, match="belong to different networks"):
        policy.load(Weights(4, arrays, VlaPolicy(small(horizon=5), "", 6).spec_hash))


def test_served_by_openpis_protocol_it_does_what_it_does_here() -> None:
    pytest.importorskip("websockets", reason="websockets comes with the extra 'openpi'")
    from user_gym.integrations.openpi.client import RemotePolicy
    from user_gym.integrations.openpi.conventions import lerobot
    from user_gym.integrations.openpi.server import PolicyServer

    here = ChunkedPolicy(VlaPolicy(small(), "insert", 6), horizon=2, delay=1, prompt="plug it in")
    with PolicyServer(VlaPolicy(small(), "insert", 6), port=0, convention=lerobot()) as server:
        remote = RemotePolicy(server.url, convention=lerobot())
        with here, remote, ChunkedPolicy(remote, horizon=2, delay=1, prompt="plug it in") as there:
            for step in range(7):
                one, two = (policy.act(observation(step), deterministic=True).actions for policy in (here, there))
                np.testing.assert_allclose(one, two, atol=1e-5)  # the order of sums may differ with where arrays lie


def test_words_are_told_apart_by_what_and_where_they_are() -> None:
    rows = spelled("Insert the PEG")
    assert rows.tolist() == spelled("insert the peg").tolist()
    assert rows[3:].tolist() == [0] * (MOST_WORDS - 3)
    assert rows[:3].tolist() != spelled("the insert peg")[:3].tolist()
    assert len(spelled("word " * 50)) == MOST_WORDS


def test_a_side_that_makes_no_whole_tokens_is_refused() -> None:
    with pytest.raises(BadOption, match="bad side 40; allowed: a multiple of 16"):
        VlaNetwork(("wrist",), 40, 6, 4)
