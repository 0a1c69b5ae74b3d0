"""Which way an arm goes to the start of an episode: up, across, down. Pure: poses in, poses out."""

from __future__ import annotations

from typing import NamedTuple

from user_gym.core import F64, Workspace

SAME = 1e-3  # m or rad: nearer than this a waypoint is no motion


class Way(NamedTuple):
    """Two series of waypoints (6,) of the pose chart; either may be empty."""

    retreat: list[F64]  # away from what the last episode left; after it the scene may be rearranged
    approach: list[F64]  # to the start


def plan(tcp: F64, start: F64, workspace: Workspace) -> Way:
    """The way from the measured `tcp` (6,) to `start` (6,).

    The tool first goes straight up to the top of the workspace, without turning: what it holds may be in a hole. An arm that is
    higher stays there. Then it goes across and turns at that height, and down to the start.
    """
    height = max(float(workspace.high[2]), float(tcp[2]))
    up, above = tcp.copy(), start.copy()
    up[2] = above[2] = height
    retreat = [up] if height - tcp[2] > SAME else []
    return Way(retreat, [above, start.copy()] if height - start[2] > SAME else [start.copy()])
