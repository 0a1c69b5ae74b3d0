"""An off-policy agent of Stable-Baselines3 as a `core.Agent`: learns from batches that it is handed, acts in a collector.

    model = SAC("MultiInputPolicy", env, replay_buffer_class=PersistentReplayBuffer,
                replay_buffer_kwargs={"folder": "runs/sac/buffer"})
    train(env, Sb3Agent(model), model.replay_buffer.buffer, steps=10_000, synchronous=False)

So it learns beside its robot instead of in turns with it. Its algorithm and its hyperparameters are SB3's; nothing of it is
changed.
"""

from __future__ import annotations

import copy
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from user_gym.core import ActionChunk, Batch, Policy, Weights
from user_gym.errors import BadOption, MissingExtra, WrongRun, WrongWeights
from user_gym.integrations.sb3_replay import PersistentReplayBuffer

try:
    import torch
    from stable_baselines3.common.logger import configure
    from stable_baselines3.common.noise import ActionNoise
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
    from stable_baselines3.common.policies import BasePolicy
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("stable_baselines3", "torch"):
        raise
    raise MissingExtra((error.name or "").partition(".")[0], "sb3") from error


class Sb3Policy:
    """A Policy: SB3's actor, and the noise that its agent explores with, if any.

    Args:
        policy: of SB3, with an actor; owned by this from now on.
        noise: such as TD3 is given; it draws from numpy's own generator, as SB3 has it.
        seed: of what a stochastic actor draws.
    """

    def __init__(self, policy: Any, noise: ActionNoise | None, seed: int) -> None:
        self.version: int = -1
        self._policy, self._noise = policy, noise
        self._rng = np.random.default_rng(seed)
        self._is_dict = isinstance(policy.observation_space, gymnasium.spaces.Dict)
        self.spec_hash: str = _spec_hash(policy.actor)
        policy.set_training_mode(False)

    def reset(self, seed: int | None = None) -> None:
        """As `core.Policy.reset`."""
        if self._noise is not None:
            self._noise.reset()
        if seed is not None:
            self._rng = np.random.default_rng(seed)

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        """As `core.Policy.act`."""
        actor = self._policy.actor
        with torch.no_grad():
            seen, _ = self._policy.obs_to_tensor(dict(obs) if self._is_dict else obs["obs"])
            if deterministic or not hasattr(actor, "get_action_dist_params"):
                action = self._policy._predict(seen, deterministic=deterministic)[0].cpu().numpy()
            else:
                # As the actor itself draws, but not from torch's one generator, which the learner's thread draws from.
                mean, log_std, _ = actor.get_action_dist_params(seen)
                noise = torch.from_numpy(self._rng.standard_normal(mean.shape, np.float32)).to(mean.device)
                action = (mean + log_std.exp() * noise).tanh()[0].cpu().numpy()
        if self._noise is not None and not deterministic:
            action = np.clip(action + self._noise(), -1.0, 1.0)
        return ActionChunk(np.asarray(action, np.float32)[None], self.version)

    def load(self, weights: Weights) -> None:
        """As `core.Policy.load`."""
        if weights.spec_hash != self.spec_hash:
            raise WrongWeights(weights.spec_hash, self.spec_hash)
        self._policy.actor.load_state_dict({name: torch.from_numpy(np.array(x)) for name, x in weights.arrays.items()})
        self.version = weights.version


class Sb3Agent:
    """An Agent: one update is one gradient step of SB3's `train`.

    Args:
        model: off-policy, with an actor (SAC, TD3, DDPG, and of sb3-contrib TQC and CrossQ), and a PersistentReplayBuffer.
        seed: of its policy's exploration.

    Raises:
        BadOption: another replay buffer, no actor, or exploration by gSDE, whose noise is part of the network.
    """

    def __init__(self, model: OffPolicyAlgorithm, seed: int = 0) -> None:
        replay = model.replay_buffer
        if not isinstance(replay, PersistentReplayBuffer):
            raise BadOption("replay buffer", type(replay).__name__, "PersistentReplayBuffer, as replay_buffer_class")
        if not hasattr(model.policy, "actor"):
            raise BadOption("model", type(model).__name__, "one with an actor: SAC, TD3, DDPG, TQC, CrossQ")
        if model.use_sde:
            raise BadOption("use_sde", True, "False")
        self._model, self._replay = model, replay
        model.set_logger(configure(None, []))
        self.policy: Policy = Sb3Policy(_copy(model.policy), copy.deepcopy(model.action_noise), seed)
        self.updates = 0

    def update(self, batch: Batch) -> Mapping[str, float]:
        """As `core.Agent.update`; the metrics are those that SB3 logs."""
        self._replay.hand(batch)
        self._model.train(gradient_steps=1, batch_size=len(batch.reward))
        self.updates += 1
        logged = self._model.logger.name_to_value
        return {name.removeprefix("train/"): float(value) for name, value in logged.items()}

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """As `core.Agent.weights`: the actor's."""
        actor: Any = self._model.policy.actor
        return {name: value.cpu().numpy() for name, value in actor.state_dict().items()}

    def save(self, path: Path) -> None:
        """As `core.Agent.save`: networks, optimisers and torch's random numbers; what the model is made of is not in it."""
        _, variables = self._model._get_torch_save_params()
        state = {
            "spec": _spec_hash(self._model.policy),
            "parameters": self._model.get_parameters(),
            "variables": {name: getattr(self._model, name).detach() for name in variables},
            "updates": self.updates,
            "model_updates": self._model._n_updates,
            "random": torch.get_rng_state(),
        }
        made = io.BytesIO()  # given a file, torch hides why the disk would not take it
        torch.save(state, made)
        path.write_bytes(made.getbuffer())

    def restore(self, path: Path) -> None:
        """As `core.Agent.restore`."""
        kept = torch.load(path, weights_only=True, map_location=self._model.device)
        if kept["spec"] != _spec_hash(self._model.policy):
            raise WrongRun(f"{path} holds networks of another shape than this model has")
        self._model.set_parameters(kept["parameters"], exact_match=True, device=self._model.device)
        for name, value in kept["variables"].items():
            getattr(self._model, name).data.copy_(value)
        self.updates, self._model._n_updates = kept["updates"], kept["model_updates"]
        torch.set_rng_state(kept["random"].cpu())


def _copy(policy: BasePolicy) -> BasePolicy:
    """Built anew, as SB3 does when it loads one: what was trained may hold tensors that are no leaves, as CrossQ's does."""
    copied = type(policy)(**policy._get_constructor_parameters()).to(policy.device)
    copied.load_state_dict(policy.state_dict())
    return copied


def _spec_hash(module: torch.nn.Module) -> str:
    """SHA-256 over name, shape and dtype of every parameter and buffer."""
    lines = [f"{name} {tuple(value.shape)} {value.dtype}" for name, value in module.state_dict().items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
