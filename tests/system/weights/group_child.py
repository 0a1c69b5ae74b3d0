"""One rank of three: rank 0 trains a little and sends, the others receive, and each says what it has, by scene.

python group_child.py RANK PORT
"""

from __future__ import annotations

import hashlib
import os
import sys

import torch.distributed as distributed
from weight_cases import moved, policy

from user_gym.errors import PeerLost
from user_gym.system.cap.broadcast import GlooCopier
from user_gym.system.weights import Broadcaster, Encoder, Narrowed, Receiver, Relay
from user_gym.system.weights.group import Group

RANKS, VERSIONS = 3, 4
LEVELS = (1_000_000, 64_000_000)  # bytes/s


def main(rank, port):
    store = distributed.TCPStore("127.0.0.1", port, RANKS, is_master=rank == 0)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
    say(plain(rank))
    say(capped(rank))
    lost(rank)


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def told(weights):
    digest = hashlib.sha256(b"".join(array.tobytes() for array in weights.arrays.values())).hexdigest()
    return f"{weights.version} {digest}"


def publications(broadcaster):
    arrays = policy()
    for version in range(VERSIONS):
        arrays = moved(arrays, version)
        broadcaster.publish(arrays, "h")
        yield version


def received(group):
    receiver = Receiver("h")
    while (blob := group.receive()) is not None:
        receiver.apply(blob)
    return told(receiver.newest())


def plain(rank):
    """As fast as gloo does it."""
    group, broadcaster = Group(timeout=30), Broadcaster()
    if rank:
        return received(group)
    encoder = Encoder(Narrowed(broadcaster))
    for _ in publications(broadcaster):
        assert group.share(encoder)
        assert not group.share(encoder)  # they have it
    group.end()
    return told(Narrowed(broadcaster).newest())


def capped(rank):
    """Through a copier, out of the learner's way: what it publishes while the copier is held is overwritten."""
    with GlooCopier(LEVELS, timeout=30.0) as copier:
        group, broadcaster = Group(copier=copier), Broadcaster()
        if rank:
            return received(group)
        encoder = Encoder(Narrowed(broadcaster))
        with Relay(broadcaster, lambda _: group.share(encoder), copier) as relay:
            for version in publications(broadcaster):
                copier.limit = 0 if version == 1 else LEVELS[1]
                assert version in (1, 2) or relay.wait(version, 30)
        group.end()
        assert encoder.encoded <= VERSIONS
        return told(Narrowed(broadcaster).newest())


def lost(rank):
    """The last rank goes without a word; there is no common end."""
    if rank < RANKS - 1:
        group = Group(timeout=30)
        try:
            while True:
                _ = group.receive() if rank else group.send(bytes(1_000_000))
        except PeerLost as error:
            say(type(error).__name__)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
