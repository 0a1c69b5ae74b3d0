"""Our CAN frames as python-can's messages, and back. Importing this module needs python-can."""

from __future__ import annotations

import can

from user_gym.robots.wire.can_frame import ERROR, EXTENDED, REMOTE, Frame


def to_message(frame: Frame, timestamp: float = 0.0, channel: str | None = None) -> can.Message:
    """The message of a frame."""
    flags = frame.flags
    return can.Message(
        timestamp=timestamp,
        arbitration_id=frame.id,
        is_extended_id=bool(flags & EXTENDED),
        is_remote_frame=bool(flags & REMOTE),
        is_error_frame=bool(flags & ERROR),
        channel=channel,
        data=frame.data,
    )


def from_message(message: can.Message) -> Frame:
    """The frame of a message of classical CAN."""
    flags = (
        (EXTENDED if message.is_extended_id and not message.is_error_frame else 0)
        | (REMOTE if message.is_remote_frame else 0)
        | (ERROR if message.is_error_frame else 0)
    )
    return Frame(message.arbitration_id, bytes(message.data), flags)
