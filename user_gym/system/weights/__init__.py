"""Weights from a learner to the policies that act, on one host, over a link or inside a cluster.

    learner --publish--> Broadcaster (one process) or SharedPublisher (one host) --newest--> policy
                              | newest
                         Narrowed (bfloat16) -> Encoder --blob--> link or Group --> Receiver --newest--> policy

To publish is one copy; to encode is work of the links' threads, to copy under a cap of `Relay`'s. What a policy acts in, be
it bfloat16, arrives bit for bit.
Group is imported from `user_gym.system.weights.group`, for it needs torch.
"""

from __future__ import annotations

from user_gym.system.weights.bf16 import BF16, widen
from user_gym.system.weights.blob import Held
from user_gym.system.weights.broadcaster import Broadcaster
from user_gym.system.weights.choice import LinkRate
from user_gym.system.weights.encoder import Encoder
from user_gym.system.weights.ends import Publisher, Subscriber
from user_gym.system.weights.image import Image
from user_gym.system.weights.layout import Layout
from user_gym.system.weights.narrowed import Narrowed
from user_gym.system.weights.receiver import Receiver
from user_gym.system.weights.relay import Relay
from user_gym.system.weights.shared_publisher import SharedPublisher, forget, remove_abandoned
from user_gym.system.weights.shared_subscriber import SharedSubscriber

__all__ = [
    "BF16",
    "Broadcaster",
    "Encoder",
    "Held",
    "Image",
    "Layout",
    "LinkRate",
    "Narrowed",
    "Publisher",
    "Receiver",
    "Relay",
    "SharedPublisher",
    "SharedSubscriber",
    "Subscriber",
    "forget",
    "remove_abandoned",
    "widen",
]
