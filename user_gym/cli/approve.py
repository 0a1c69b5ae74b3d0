"""`user-gym approve`: an operator allows a policy to drive a real arm for the first time."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "approve",
        help="allow a policy to drive a real robot",
        description="Allow a policy to drive a real robot. A robot refuses a policy that it has not met, and the refusal "
        "says this command: give it once you stand at the robot's emergency stop. Twins ask for nothing.",
    )
    parser.add_argument("robot", metavar="ROBOT", help="id in the inventory, or the address as the refusal says it")
    parser.add_argument("policy", metavar="HASH", nargs="?", help="of the policy (default: programs that do not name theirs)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Remember the approval."""
    from user_gym.robots import approval

    device, policy = _address(arguments.robot), arguments.policy or approval.ANY
    approval.approve(device, policy)
    print(f"policy {policy!r} may drive {device!r}; {approval.path()} remembers it")
    return 0


def _address(robot: str) -> str:
    """Physical address of a robot, by its id or by the address itself. Raises UnknownName, BadOption."""
    from user_gym.robots import inventory
    from user_gym.robots.address import physical

    known = inventory.read()
    for device in known.of_kind("robot"):
        if robot in (device.id, device.address, place := physical(device)):
            return place
    if robot.startswith(("robot ", "can ")):  # one that was named by its address alone
        return robot
    return physical(known.find(robot))
