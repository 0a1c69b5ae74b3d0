"""From experience to weights and back. It begins with a `gymnasium.Env` and knows no robot, task or simulator."""

from __future__ import annotations

from user_gym.system.buffer import Buffer
from user_gym.system.buffer.loader import Loader
from user_gym.system.channel import Channel, ChannelStats
from user_gym.system.chunk import ChunkBuilder, check
from user_gym.system.collector import Collector
from user_gym.system.freshness import Beyond, Fresh
from user_gym.system.learner import Learner, Sampler
from user_gym.system.mixture import Mixture
from user_gym.system.priorities import Prioritized
from user_gym.system.ratelimit import LimiterState, SamplesPerInsert
from user_gym.system.returns import Return, n_step
from user_gym.system.spaces import spec_hash
from user_gym.system.train import Counters, Progress, TrainResult, train
from user_gym.system.weights import Broadcaster

__all__ = [
    "Beyond",
    "Broadcaster",
    "Buffer",
    "Channel",
    "ChannelStats",
    "ChunkBuilder",
    "Collector",
    "Counters",
    "Fresh",
    "Learner",
    "LimiterState",
    "Loader",
    "Mixture",
    "Prioritized",
    "Progress",
    "Return",
    "Sampler",
    "SamplesPerInsert",
    "TrainResult",
    "check",
    "n_step",
    "spec_hash",
    "train",
]
