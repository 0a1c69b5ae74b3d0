"""Boards with a hole, for peg insertion; and two of them beside each other, blue and yellow, either of which can be meant.

Two boards make the smallest scene in which words matter: pictures, start and state are the same whichever is meant.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from user_gym.core import Body, Shape

_DARK = (0.35, 0.28, 0.20, 1.0)


class Board(NamedTuple):
    """A board with a square hole in its middle, and where it lies."""

    name: str  # of its body
    aside: float  # m, of the hole from the work point, along y
    half: tuple[float, float]  # m, in x and y
    rgba: tuple[float, float, float, float]


# 10 cm apart, blue to the robot's left. Between them 6 mm stay free, so that offsets of 3 mm do not push one into the other.
TWO = {
    "blue": Board("blue_board", 0.05, (0.075, 0.047), (0.15, 0.35, 0.80, 1.0)),
    "yellow": Board("yellow_board", -0.05, (0.075, 0.047), (0.92, 0.76, 0.12, 1.0)),
}
ROOM = 0.03  # m, that the workspace goes beyond the holes of two boards, along y


def body(board: Board, hole: float, rim: float, depth: float, friction: float) -> Body:
    """A board as a body of the table; its frame is at the centre of the rim. The edges are sharp: nothing guides a peg in.

    Args:
        board: which.
        hole: m, half width of the hole.
        rim: m, height of the board's top above the table.
        depth: m, of the hole.
        friction: sliding coefficient.
    """
    x, y = board.half
    shapes = [_box(0.0, 0.0, -(rim + depth) / 2, (x, y, (rim - depth) / 2), _DARK)]
    for side in (-1, 1):
        shapes.append(_box(side * (x + hole) / 2, 0.0, -depth / 2, ((x - hole) / 2, y, depth / 2), board.rgba))
        shapes.append(_box(0.0, side * (y + hole) / 2, -depth / 2, (hole, (y - hole) / 2, depth / 2), board.rgba))
    return Body(board.name, "table", tuple(shapes), friction=friction)


def _box(x: float, y: float, z: float, half: tuple[float, float, float], rgba: tuple[float, float, float, float]) -> Shape:
    return Shape("box", half, np.array([x, y, z, 0.0, 0.0, 0.0, 1.0]), rgba)
