"""How large pieces of messages are that no window counts."""

from __future__ import annotations

from user_gym.system.link.stream.piece import Piece
from user_gym.system.link.wire.lanes import FRAGMENT


def test_a_quick_stream_takes_a_message_of_some_megabytes_in_one_piece():
    piece = Piece()
    for _ in range(10):
        piece.wrote(piece.size, 0.001)
    assert piece.size == FRAGMENT


def test_a_slow_stream_gets_small_pieces_so_that_what_is_urgent_need_not_wait():
    piece = Piece()
    for _ in range(10):
        piece.wrote(piece.size, piece.size / 1e6)  # 1 MB/s
    assert 1 << 15 < piece.size <= 1 << 16
    for _ in range(10):
        piece.wrote(piece.size, 0.001)
    assert piece.size == FRAGMENT


def test_a_short_message_says_nothing_about_a_long_one():
    piece = Piece()
    before = piece.size
    piece.wrote(100, 0.0001)  # quick, but not many bytes
    piece.wrote(100, 0.5)  # something else kept the stream
    assert piece.size == before
