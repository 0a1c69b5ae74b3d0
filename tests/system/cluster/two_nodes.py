"""A cluster of two nodes on this machine, the second with robots: says its address, and ends with its standard input.

python two_nodes.py ROBOT...
"""

from __future__ import annotations

import os
import sys

from ray.cluster_utils import Cluster


def main(*robots: str) -> None:
    # Not 127.0.0.1, which Ray takes for any address of this machine.
    network = f"127.{64 + (os.getpid() >> 16 & 63)}.{os.getpid() >> 8 & 255}"
    first, second = (f"{network}.{2 * (os.getpid() & 63) + k}" for k in (1, 2))
    private = {"num_cpus": 4, "include_dashboard": False, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={"node_ip_address": first, **private})
    try:
        cluster.add_node(node_ip_address=second, resources={f"robot:{robot}": 1.0 for robot in robots}, **private)
        sys.stdout.write(f"address {cluster.address}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
