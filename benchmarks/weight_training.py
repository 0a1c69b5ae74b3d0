"""Weights of real networks after real Adam steps, step by step. Needs torch; it knows nothing of how weights travel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import user_gym  # noqa: F401 - registers the ids
from baselines.config import Config
from baselines.rlpd import Rlpd
from user_gym.core import Batch

Steps = Iterator[Mapping[str, NDArray[Any]]]  # float32 arrays before the first step, after it, ... ; the same memory every time

BATCH = 256


def critics(learning_rate: float) -> Steps:
    """Ten critics of the RLPD baseline, 480 wide (2.4 M), by its own updates."""
    agent, batches = _agent(learning_rate, hidden=480, critics=10)
    yield {"critic": agent.critic.detach().numpy()}
    for batch in batches:
        agent.update(batch)
        yield {"critic": agent.critic.detach().numpy()}


def actor(learning_rate: float) -> Steps:
    """The actor of the RLPD baseline, 1600 wide (2.6 M), by its own updates, two small critics beside it."""
    agent, batches = _agent(learning_rate, hidden=1600, critics=2)
    yield agent.weights()
    for batch in batches:
        agent.update(batch)
        yield agent.weights()


def mlp(learning_rate: float) -> Steps:
    """torch's own layers and initial weights (2.7 M): four, 1150 wide, regression on smooth functions of noise."""
    torch.manual_seed(0)
    sizes = (64, 1150, 1150, 1150, 14)
    layers = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())]
    net = nn.Sequential(*layers[:-1])

    def loss() -> Tensor:
        x = torch.randn(BATCH, 64)
        return (net(x) - x[:, :14].sin()).square().mean()

    yield from _trained(net, loss, learning_rate)


def transformer(learning_rate: float, layers: int = 12, width: int = 768, words: int = 52304) -> Steps:
    """A causal transformer of GPT-2's size, initial weights and tied head (126 M), next-word loss on 2 x 64 words by Zipf."""
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(width, 12, 4 * width, 0.0, functional.gelu, batch_first=True, norm_first=True)
    net = nn.ModuleDict(
        {
            "words": nn.Embedding(words, width),
            "places": nn.Embedding(1024, width),
            "body": nn.TransformerEncoder(block, layers, nn.LayerNorm(width), enable_nested_tensor=False),
        }
    )
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0.0, 0.02 / (math.sqrt(2 * layers) if "linear2" in name or "out_proj" in name else 1.0))
    chances = 1.0 / torch.arange(1, words + 1)
    mask = nn.Transformer.generate_square_subsequent_mask(64)

    def loss() -> Tensor:
        text = torch.multinomial(chances, 2 * 65, replacement=True).view(2, 65)
        x = net["words"](text[:, :-1]) + net["places"](torch.arange(64))
        x = net["body"](x, mask=mask, is_causal=True) @ net["words"].weight.T
        return functional.cross_entropy(x.flatten(0, 1), text[:, 1:].flatten())

    yield from _trained(net, loss, learning_rate)


def _trained(net: nn.Module, loss: Any, learning_rate: float) -> Steps:
    optimiser = torch.optim.Adam(net.parameters(), learning_rate)
    arrays = {name: parameter.detach().numpy() for name, parameter in net.named_parameters()}
    while True:
        yield arrays
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()


def _agent(learning_rate: float, hidden: int, critics: int) -> tuple[Rlpd, Iterator[Batch]]:
    """An agent, and batches of random play of peg insertion; rewards are noise, for random play earns none."""
    config = replace(Config(), hidden=hidden, critics=critics, learning_rate=learning_rate, actor_every=1)
    env = gymnasium.make("User/PegInsert-sim-v0")
    env.action_space.seed(0)
    rng = np.random.default_rng(0)
    rows: list[tuple[Any, ...]] = []
    obs, _ = env.reset(seed=0)
    for _ in range(500):
        action = env.action_space.sample()
        after, _, terminated, truncated, _ = env.step(action)
        rows.append((obs["state"], action, after["state"]))
        obs = after if not (terminated or truncated) else env.reset()[0]
    agent = Rlpd(env.observation_space, env.action_space, config)  # pyright: ignore[reportArgumentType]
    env.close()
    states, actions, after = (np.array(column) for column in zip(*rows, strict=True))
    no, zero = np.zeros(BATCH, bool), np.zeros(BATCH, np.int64)

    def batches() -> Iterator[Batch]:
        while True:
            i = rng.integers(0, len(states), BATCH)
            reward = rng.normal(0.0, 1.0, BATCH).astype(np.float32)
            yield Batch({"state": states[i]}, actions[i], actions[i], reward, {"state": after[i]}, no, no, zero, no)

    return agent, batches()
