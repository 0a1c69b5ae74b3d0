"""What goes around a single environment: a human who takes over, another reward, a recorder. Knows no device and no storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from user_gym.core import Builder, Chunk, EpisodicReward, Obs, Reward, RewardSignal, RobotState, Scene, Teleop
from user_gym.errors import BadAction

Step = tuple[Obs, float, bool, bool, dict[str, Any]]


class Intervention(gymnasium.Wrapper[Obs, np.ndarray, Obs, np.ndarray]):
    """A human takes over: while the teleop is active, its action replaces the policy's.

    Info of every step: `is_intervention`; `teleop_action`, what the device said, used or not; `intervene_action` only while
    the human acts, and with it `intervention_source` where there are several devices; `executed_action` as the environment
    reports it, after clip and clamp. A human's verdict replaces the rule's: it sets `is_success`, the reward (1 or 0) and
    `reward_source` "human", and ends the episode (terminated). `terminate_episode` and `rerecord_episode`
    end it without a verdict on the task: truncated, so that learners bootstrap.

    Args:
        env: has an attribute `state` (core.RobotState), as RobotEnv has.
        teleop: connected at the first reset, closed with the environment.
    """

    def __init__(self, env: gymnasium.Env[Obs, np.ndarray], teleop: Teleop) -> None:
        super().__init__(env)
        self.teleop = teleop

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        """Begin an episode; the teleop is told."""
        self.teleop.connect()
        obs, info = self.env.reset(seed=seed, options=options)
        self.teleop.reset()
        return obs, info

    def step(self, action: np.ndarray) -> Step:
        """One step with the human's action if there is one. Raises BadAction if the teleop's does not fit."""
        state: RobotState = self.env.get_wrapper_attr("state")
        order = self.teleop.read(state)
        theirs = np.array(order.action, np.float32)
        if theirs.shape != self.env.action_space.shape:
            raise BadAction(f"action of shape {theirs.shape} from the teleop; allowed: {self.env.action_space.shape}")
        obs, reward, terminated, truncated, info = self.env.step(theirs if order.active else action)
        info["is_intervention"] = bool(order.active)
        info["teleop_action"] = theirs
        if order.active:
            info["intervene_action"] = theirs.copy()
            if order.source:
                info["intervention_source"] = order.source
        if order.success is not None:
            success = bool(order.success)
            info["is_success"], info["reward_source"] = success, "human"
            reward, terminated = float(success), True
        info["terminate_episode"] = bool(order.terminate)
        info["rerecord_episode"] = bool(order.rerecord)
        if (order.terminate or order.rerecord) and not terminated:
            truncated = True
        return obs, float(reward), terminated, truncated, info

    def close(self) -> None:
        """Let go of the device and the environment; may be called twice."""
        self.teleop.close()
        self.env.close()


class RewardFrom(gymnasium.Wrapper[Obs, np.ndarray, Obs, np.ndarray]):
    """Another judge: its reward replaces the rule's, and `info["reward_source"]` says who gave it.

    Where the judge also says success, that replaces `is_success` and decides whether the step ends the episode; its failure
    ends it, and so does one that the rule saw. Where it says nothing (None), both stay the rule's. In any case
    `info["rule_success"]` is what the environment itself said.

    Args:
        env: has attributes `state` and `scene`, as RobotEnv has.
        reward: called once per step. An EpisodicReward is told of each reset, and closed with the environment.
    """

    def __init__(self, env: gymnasium.Env[Obs, np.ndarray], reward: Reward) -> None:
        super().__init__(env)
        self._judge = reward  # not `compute_reward`: SB3 would take the environment for a GoalEnv

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        """Begin an episode; the judge is told."""
        obs, info = self.env.reset(seed=seed, options=options)
        if isinstance(self._judge, EpisodicReward):
            self._judge.reset(self.env.get_wrapper_attr("state"))
        return obs, info

    def step(self, action: np.ndarray) -> Step:
        """One step, judged anew."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        state: RobotState = self.env.get_wrapper_attr("state")
        scene: Scene = self.env.get_wrapper_attr("scene")
        success = bool(info.get("is_success", False))
        failed = terminated and not success
        rule = RewardSignal(float(reward), success, info.get("reward_source", "rule"), failed)
        signal = self._judge(obs, state, scene, rule)
        info["rule_success"], info["reward_source"] = success, signal.source
        if signal.success is not None:
            info["is_success"] = bool(signal.success)
            terminated = info["is_success"] or failed
        return obs, float(signal.value), terminated or bool(signal.failure), truncated, info

    def close(self) -> None:
        """Let go of the judge and the environment; may be called twice."""
        if isinstance(self._judge, EpisodicReward):
            self._judge.close()
        self.env.close()


class Record(gymnasium.Wrapper[Obs, np.ndarray, Obs, np.ndarray]):
    """Hands every episode over as chunks, when it is over: a `rerecord_episode` drops it instead, and its number is used again.

    An episode that `reset` or `close` cuts short is handed over as far as it went.

    Args:
        env: what is recorded, wrappers inside included.
        builder: makes the chunks.
        sink: takes them, such as `Buffer.append` or `Channel.put`.
        version: tells which weights act now; -1: no policy.
        first_episode: number of the first episode.
    """

    def __init__(
        self,
        env: gymnasium.Env[Obs, np.ndarray],
        builder: Builder,
        sink: Callable[[Chunk], Any],
        version: Callable[[], int] = lambda: -1,
        first_episode: int = 0,
    ) -> None:
        super().__init__(env)
        self._builder, self._sink, self._version = builder, sink, version
        self.episode = first_episode
        self._chunks: list[Chunk] = []
        self._running = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        """Hand over what the last episode left, and begin the next."""
        self._cut_short()
        obs, info = self.env.reset(seed=seed, options=options)
        self._builder.start(obs, self.episode, float(info.get("time", 0.0)))
        self._running = True
        return obs, info

    def step(self, action: np.ndarray) -> Step:
        """One step, recorded."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        if self._running:  # some go on stepping after the end; that belongs to no episode
            chunk = self._builder.add(action, float(reward), terminated, truncated, info, obs, self._version())
            if chunk is not None:
                self._chunks.append(chunk)
            if terminated or truncated:
                self._end(keep=not info.get("rerecord_episode", False))
        return obs, float(reward), terminated, truncated, info

    def close(self) -> None:
        """Hand over what is left, then close; may be called twice."""
        self._cut_short()
        self.env.close()

    def _cut_short(self) -> None:
        if self._running:
            rest = self._builder.flush()
            if rest is not None:
                self._chunks.append(rest)
            self._end(keep=True)

    def _end(self, keep: bool) -> None:
        self._running = False
        chunks, self._chunks = self._chunks, []
        if keep and chunks:
            self.episode += 1
            for chunk in chunks:
                self._sink(chunk)
