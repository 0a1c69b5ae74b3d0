"""This program in a Ray cluster, or with one of its own. It starts no actor."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import ray

from user_gym.errors import BadOption

LOCAL = "local"  # a cluster of this machine alone, which ends with the program
_LOOPBACK = "127.0.0.2"  # 127.0.0.1 is what Ray takes for the machine's address in its network
_ALLOWED = f"auto (the cluster that this machine is in), {LOCAL} (one of its own), or HOST:PORT of a cluster it is in"


@contextmanager
def joined(address: str, robots: Mapping[str, float], processors: int) -> Iterator[str]:
    """The id of this machine's node, while it lasts. Raises BadOption.

    Args:
        address: of the cluster.
        robots: what a cluster of this machine alone has to offer, as `offered`; another has them from its `ray start`.
        processors: that it has at least, however few the machine has: processes of one machine share them anyway.
    """
    if address.startswith("ray://"):
        raise BadOption("ray", address, _ALLOWED, "start this where the run's folder is to be: a node of the cluster")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing of a run is reported to anyone
    own = {
        "resources": dict(robots), "num_cpus": max(processors, os.cpu_count() or 1), "include_dashboard": False,
        "_node_ip_address": _LOOPBACK,
    }  # fmt: skip
    try:
        ray.init(address=address, logging_level=logging.WARNING, **(own if address == LOCAL else {}))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise BadOption("ray", address, _ALLOWED, str(error)) from error
    try:
        yield ray.get_runtime_context().get_node_id()
    finally:
        ray.shutdown()
