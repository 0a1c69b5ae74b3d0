"""A process that publishes shared weights, or reads them, until it is killed.

    python shared_child.py publish FOLDER NAME
    python shared_child.py read FOLDER NAME

Version v is arrays full of v, so that a reader sees what is torn. Each line on stdout is a version.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from user_gym.system.weights import SharedPublisher, SharedSubscriber

SIZES = {"a": 300_000, "b": 7, "c": 100_001}


def arrays(version):
    return {name: np.full(n, version, np.float32) for name, n in SIZES.items()}


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def publish(folder, name):
    version = -1
    with SharedSubscriber(name, folder=folder) as before:
        weights = before.newest()
        if weights is not None:
            version = weights.version
        del weights
    with SharedPublisher(name, version=version, folder=folder) as publisher:
        while True:
            say(publisher.publish(arrays(publisher.version + 1), "h").version)


def read(folder, name):
    with SharedSubscriber(name, folder=folder) as subscriber:
        than = -1
        while True:
            weights = subscriber.newest(than)
            if weights is None:
                continue
            than = weights.version
            for array in weights.arrays.values():
                if not (array == np.float32(than)).all():
                    say(f"torn: version {than} has {np.unique(array)[:5]}")
                    return
            say(than)


if __name__ == "__main__":
    {"publish": publish, "read": read}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
