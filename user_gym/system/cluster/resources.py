"""Robots as resources of a cluster, beside its GPUs: what a machine has, and what a collector needs. It asks no device."""

from __future__ import annotations

from user_gym.core import Inventory
from user_gym.system.processes.plan import CollectorPlan


def offered(inventory: Inventory) -> dict[str, float]:
    """The robots of a machine, each once, as `ray start --resources` takes them. An entry with a mistake is none.

    Args:
        inventory: of that machine.
    """
    return {_robot(device.id): 1.0 for device in inventory.of_kind("robot") if device.healthy}


def wanted(collector: CollectorPlan) -> dict[str, float]:
    """What a collector has to itself while it runs: its robot; a processor where it simulates one."""
    return {_robot(collector.device): 1.0} if collector.device else {"CPU": 1.0}


def _robot(id: str) -> str:
    return f"robot:{id}"
