"""RLPD: soft actor-critic that draws half of every batch from demonstrations. One command, from nothing to a film.

    python -m baselines.rlpd --robot franka-fr3 --seed 0

Ball et al. 2023, "Efficient Online Reinforcement Learning with Offline Data": layer-normalised critics, several updates per
step, symmetric sampling. The set-up for insertion follows RLinf's. An interrupted run goes on when the command is repeated.
"""

from __future__ import annotations

import copy
import io
import math
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from baselines.config import Config
from user_gym.core import Batch, Policy, Storage, Weights
from user_gym.errors import MissingExtra, MissingSystem, UserGymError, WrongRun
from user_gym.system import Buffer, Counters, Mixture, Progress, train

try:
    import torch
    import tyro
    from torch import Tensor

    from baselines.episodes import GLANCE_SEED, demonstrate, evaluate, make
    from baselines.experience import OWN, counted, earlier_experience, mixture, open_buffer
    from baselines.networks import Encoder, Ensemble, GaussianPolicy, shifted, spec_hash, squashed
    from baselines.report import Clock, Live, draw_curve, write_film
    from baselines.run_folder import Run, write_json
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error

GLANCE, FILMED = 20, 3  # episodes of an evaluation during training, and of the film


def critic_target(reward: Tensor, terminated: Tensor, next_value: Tensor, discount: float) -> Tensor:
    """What Q should be (batch,). Only a terminated step has no future; a truncated one has, it was merely not watched."""
    # Of the future the reward alone counts, not the entropy of acting in it (RLPD's backup_entropy=False): with a reward of one
    # at the very end, values are the discounted chance of success, and a bonus for being undecided would drown it.
    return reward + discount * torch.where(terminated, 0.0, next_value)


class Rlpd:
    """An Agent: soft actor-critic.

    Args:
        observations: a Dict with "state" and, for pictures, uint8 entries.
        actions: a Box in [-1, 1].
        config: hyperparameters.
    """

    def __init__(self, observations: gymnasium.spaces.Dict, actions: gymnasium.spaces.Box, config: Config) -> None:
        self.config = config
        self._generator = torch.Generator().manual_seed(config.seed)
        cameras = {name: space.shape[:2] for name, space in observations.items() if space.dtype == np.uint8 and space.shape}
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.encoder = Encoder(cameras) if cameras else None
        width, axes, hidden = math.prod(observations["state"].shape or ()), actions.shape[0], config.hidden
        width += self.encoder.size if self.encoder else 0
        self._actor = Ensemble(1, (width, hidden, hidden, 2 * axes), normalise=False)
        self._critic = Ensemble(config.critics, (width + axes, hidden, hidden, 1), normalise=True)
        self.actor = self._actor.initial(self._generator, last=0.01).requires_grad_()
        self.critic = self._critic.initial(self._generator).requires_grad_()
        self.target = self.critic.detach().clone()
        self.log_alpha = torch.tensor(math.log(config.temperature), dtype=torch.float32, requires_grad=True)
        self._axes = axes
        seen = list(self.encoder.parameters()) if self.encoder else []
        self._critic_optimiser = torch.optim.Adam([self.critic, *seen], config.learning_rate, fused=True)
        self._actor_optimiser = torch.optim.Adam([self.actor, self.log_alpha], config.learning_rate, fused=True)
        self.policy: Policy = GaussianPolicy(self._actor, self.actor.detach().numpy(), copy.deepcopy(self.encoder), config.seed)
        self._spec = spec_hash({"actor": self._actor, "critic": self._critic}, self.encoder)
        self.updates = 0
        self._metrics: dict[str, float] = {}

    def update(self, batch: Batch) -> Mapping[str, float]:
        """One step of the critics, and every `actor_every` times of actor and temperature. Metrics are of every 100th."""
        # Ordered, not executed: the critics would otherwise never see an action outside the safety box, which the actor does
        # order. After 3000 steps of peg insertion (franka-fr3, seeds 0 and 1): executed 0 and 39, ordered 50 and 50 of 50.
        reward, terminated, ordered = (torch.from_numpy(x) for x in (batch.reward, batch.terminated, batch.ordered))
        x, after = self._features(batch.obs), self._features(batch.next_obs).detach()
        with torch.no_grad():
            future_action, _ = squashed(self.actor_output(after), self._noise(len(reward)))
            future = self._critic(self.target, torch.cat([after, future_action], -1))[..., 0]
            wanted = critic_target(reward, terminated, self._lowest(future), self.config.discount)
        values = self._critic(self.critic, torch.cat([x, ordered], -1))[..., 0]
        critic_loss = (values - wanted).square().mean(-1).sum()
        self._critic_optimiser.zero_grad()
        critic_loss.backward()
        self._critic_optimiser.step()
        self.target.lerp_(self.critic.detach(), self.config.averaging)
        self.updates += 1
        self._slow_down()
        if self.updates % self.config.actor_every == 0:
            self._improve_actor(x.detach())
        if self.updates % 100 == 0:
            alpha = self.log_alpha.detach().exp()
            self._metrics |= {
                "critic_loss": float(critic_loss.detach()),
                "value": float(values.detach().mean()),
                "temperature": float(alpha),
            }
        return self._metrics

    def _slow_down(self) -> None:
        """Lower the learning rate over the last third, so that the last policy is no momentary swing of a good one."""
        total = max(1.0, (self.config.steps - self.config.learning_starts) * self.config.updates_per_step)
        done = (self.updates - self.config.updates_before) / total
        rate = self.config.learning_rate * min(1.0, max(0.05, 3.0 * (1.0 - done)))
        for optimiser in (self._critic_optimiser, self._actor_optimiser):
            optimiser.param_groups[0]["lr"] = rate

    def actor_output(self, features: Tensor) -> Tensor:
        """Mean and log standard deviation (batch, 2 axes) before the tanh."""
        return self._actor(self.actor, features)[0]

    def _improve_actor(self, x: Tensor) -> None:
        action, log_density = squashed(self.actor_output(x), self._noise(len(x)))
        value = self._critic(self.critic.detach(), torch.cat([x, action], -1))[..., 0].mean(0)
        surprise = log_density.detach().mean() + self.config.target_entropy
        loss = (self.log_alpha.detach().exp() * log_density - value).mean() - self.log_alpha * surprise
        self._actor_optimiser.zero_grad()
        loss.backward()
        self._actor_optimiser.step()
        if self.updates % 100 == 0:
            self._metrics["entropy"] = -float(log_density.detach().mean())

    def _lowest(self, values: Tensor) -> Tensor:
        """The smaller of two critics (batch,), drawn anew each time where there are more than two."""
        if len(values) > 2:
            values = values[torch.randperm(len(values), generator=self._generator)[:2]]
        return values.amin(0)

    def _noise(self, batch: int) -> Tensor:
        return torch.randn((batch, self._axes), generator=self._generator)

    def _features(self, obs: Mapping[str, NDArray[Any]]) -> Tensor:
        state = torch.from_numpy(obs["state"])
        if self.encoder is None:
            return state
        pictures = {name: shifted(torch.from_numpy(obs[name]), self._generator) for name in self.encoder.cameras}
        return torch.cat([state, self.encoder(pictures)], -1)

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """The actor's vector, and the encoder's tensors."""
        encoder = self.encoder.state_dict() if self.encoder else {}
        return {"actor": self.actor.detach().numpy(), **{name: value.numpy() for name, value in encoder.items()}}

    def save(self, path: Path) -> None:
        """Networks, optimisers and random numbers."""
        state = {
            **{name: getattr(self, name).detach() for name in ("actor", "critic", "target", "log_alpha")},
            "encoder": self.encoder.state_dict() if self.encoder else {},
            "optimisers": [self._critic_optimiser.state_dict(), self._actor_optimiser.state_dict()],
            "random": self._generator.get_state(),
            "updates": self.updates,
            "spec": self._spec,
        }
        made = io.BytesIO()  # given a file, torch hides why the disk would not take it
        torch.save(state, made)
        path.write_bytes(made.getbuffer())

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote. Raises WrongRun."""
        kept = torch.load(path, weights_only=True)
        if kept["spec"] != self._spec:
            raise WrongRun(f"{path} holds networks of another shape than this run has; choose another --run-dir")
        with torch.no_grad():
            for name in ("actor", "critic", "target", "log_alpha"):
                getattr(self, name).copy_(kept[name])
        if self.encoder is not None:
            self.encoder.load_state_dict(kept["encoder"])
        for optimiser, state in zip((self._critic_optimiser, self._actor_optimiser), kept["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self._generator.set_state(kept["random"])
        self.updates = kept["updates"]


def frozen(agent: Rlpd) -> Policy:
    """A copy of the agent's policy as it is now."""
    policy = copy.deepcopy(agent.policy)
    policy.load(Weights(agent.updates, agent.weights(), policy.spec_hash))
    return policy


def rehearse(config: Config, agent: Rlpd, sampler: Mixture, buffer: Buffer) -> None:
    """The updates before the first step."""
    rng = np.random.default_rng([config.seed, 0, 1])  # the learner's is [seed, updates]
    while agent.updates < config.updates_before:
        agent.update(sampler(buffer, rng))


def learn(
    config: Config,
    run: Run,
    env: gymnasium.Env[Any, Any],
    judge: gymnasium.Env[Any, Any],
    agent: Rlpd,
    buffer: Buffer,
    experience: Storage | None,
) -> bool:
    """Train, from the newest checkpoint on; True when done, False when interrupted. The checkpoint is written either way.

    Where `judge` is `env`, as on a real robot, the policy is looked at when training is over; the curve shows how it explores.
    """
    task = judge.unwrapped.task  # pyright: ignore[reportAttributeAccessIssue]
    checkpoint = run.restore(agent.restore)
    if run.curve and run.curve[-1]["env_steps"] >= config.steps:
        return True
    demonstrate(judge, buffer, config)  # where they are two, not env: that one is the collector's
    sampler = mixture(buffer, experience, config)
    if checkpoint is None:
        rehearse(config, agent, sampler, buffer)
    counters, stored = counted(buffer, checkpoint or Counters()), len(buffer.view(OWN))
    if counters.env_steps:
        print(f"{run.folder}: goes on after {counters.env_steps} steps ({stored} in its buffer) and {counters.updates} updates")
    earlier, clock = dict(run.seconds), Clock()

    def save(progress: Progress, before: tuple[float, float]) -> None:
        run.seconds = {"wall": earlier["wall"] + before[0], "cpu": earlier["cpu"] + before[1]}
        reached = Counters(progress.env_steps, updates=progress.updates, version=progress.version)
        run.save(agent.save, counted(buffer, reached))

    def look(progress: Progress) -> None:
        before = clock.read()
        busy = judge is env and progress.env_steps < config.steps  # an episode is running there
        deterministic = math.nan if busy else evaluate(judge, frozen(agent), GLANCE, first_seed=GLANCE_SEED)[0]
        exploring = None if np.isnan(progress.success_rate) else progress.success_rate
        point = {"env_steps": progress.env_steps, "updates": progress.updates, "success_rate": exploring}
        seen = None if busy else deterministic
        run.curve.append(point | {"deterministic": seen, "cpu_s": earlier["cpu"] + before[1]})
        live.show(
            progress.env_steps,
            {"success/exploring": progress.success_rate, "success/deterministic": deterministic, "updates": progress.updates}
            | {f"agent/{name}": value for name, value in progress.metrics.items()},
            f"success {progress.success_rate:4.2f} exploring, {deterministic:4.2f} deterministic, {progress.updates} updates, "
            f"{earlier['wall'] + before[0]:.0f} s",
        )
        # An episode that runs on while this is written is left as it is: a resumed run begins the next one.
        save(progress, before)
        clock.resume(before)

    with Live(run.folder / "tensorboard", config.steps) as live:
        result = train(
            env, agent, buffer, steps=config.steps, updates_per_step=config.updates_per_step,
            synchronous=not config.asynchronous, learning_starts=config.learning_starts, sampler=sampler,
            publish_every=max(1, round(config.updates_per_step)), robot=config.robot, task=task.name, seed=config.seed,
            start=counters, progress_every=config.eval_every,
            on_progress=lambda p: look(p) if p.env_steps < config.steps else None,  # the look at the end waits for all updates
        )  # fmt: skip
        save(result.progress, clock.read())
        if not result.interrupted:
            look(result.progress)
    return not result.interrupted


def conclude(config: Config, run: Run, judge: gymnasium.Env[Any, Any], agent: Rlpd) -> dict[str, Any]:
    """Evaluate the last policy, draw the curve, film it, and sum up."""
    task = judge.unwrapped.task  # pyright: ignore[reportAttributeAccessIssue]
    success, length = evaluate(judge, frozen(agent), config.eval_episodes)
    summary = {
        "success_rate": success, "eval_episodes": config.eval_episodes, "mean_length": length,
        "policy": "the last one, deterministic, evaluation seeds the same for all runs",
        "env_steps": run.counters.env_steps, "updates": run.counters.updates,
        "steps_to_95": next((p["env_steps"] for p in run.curve if (p["deterministic"] or 0.0) >= 0.95), None),
        "exploring_success_rate": run.curve[-1]["success_rate"],
        "train_s": round(run.seconds["wall"], 2), "train_cpu_s": round(run.seconds["cpu"], 2),
        "robot": config.robot, "seed": config.seed, "env_id": config.env_id, "obs": config.obs,
        "hole_offset": getattr(task, "hole_offset", None), "asynchronous": config.asynchronous,
    }  # fmt: skip
    draw_curve(run.folder / "curve.png", run.curve, f"{config.env_id}, {config.robot}, seed {config.seed}")
    if config.film and not config.one_robot:
        try:
            with closing(make(config, render_mode="rgb_array")) as env:
                frames: list[Any] = []
                evaluate(env, frozen(agent), FILMED, frames)
            write_film(run.folder / "film.gif", frames, 0.1)
        except MissingSystem as error:
            print(f"no film: {error}")
    return summary | {"wall_s": round(run.total, 2)}


def main(config: Config) -> dict[str, Any] | None:
    """Make or continue a run; its summary, or None when it was interrupted."""
    torch.set_num_threads(1)  # for networks this small, more threads only wait for each other
    env = make(config)
    with (
        closing(env),
        closing(env if config.one_robot else make(config)) as judge,
        earlier_experience(config, env) as experience,
        closing(Run(config.folder, config.identity)) as run,
    ):
        agent = Rlpd(env.observation_space, env.action_space, config)  # pyright: ignore[reportArgumentType]
        run.open()  # only now: a configuration that cannot be made leaves no folder
        summary = run.summary
        if summary is not None:
            print(f"{run.folder} is finished; remove it or choose another --run-dir to train again")
        else:
            with open_buffer(run.folder) as buffer:
                done = learn(config, run, env, judge, agent, buffer, experience)
            if not done:
                print(f"interrupted after {run.counters.env_steps} steps; the same command goes on from there: {run.folder}")
                return None
            summary = conclude(config, run, judge, agent)
            write_json(run.folder / "summary.json", summary)
    print(f"success {summary['success_rate']:.2f} over {summary['eval_episodes']} deterministic episodes of the last policy")
    print(f"{summary['env_steps']} steps, {summary['updates']} updates, {summary['train_s']:.0f} s of training")
    for name in ("summary.json", "curve.png", "film.gif", "tensorboard", "buffer"):
        if (run.folder / name).exists():
            print(f"{name.partition('.')[0]:12s}{run.folder / name}")
    return summary


if __name__ == "__main__":
    try:
        sys.exit(130 if main(tyro.cli(Config, description=__doc__)) is None else 0)
    except UserGymError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
