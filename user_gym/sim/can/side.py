"""What a CAN twin offers at its side door: the operations that `robots.gate` lists, and `lift`, as a person would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from user_gym.robots.side import Message

if TYPE_CHECKING:
    from user_gym.sim.can.twin import CanTwin
    from user_gym.sim.side_door import Operation


def operations(twin: CanTwin) -> Mapping[str, Operation]:
    """By name."""

    def hello() -> Message:
        return Message(
            {
                "robot": twin.spec.name,
                "task": twin.task.name,
                "mode": twin.mode,
                "time": twin.time,
                "tick": twin.dt,
                "cameras": [c.name for c in twin.spec.cameras],
                "bus": twin.bus,
            }
        )

    def mode(mode: str) -> Message:
        twin.switch(mode)
        return Message({"mode": mode})

    def advance(ticks: int, timeout: float = 30.0) -> Message:
        return Message({"ticks": twin.advance(ticks, timeout), "motion": "moving" if twin.moving else "idle"})

    def posture() -> Message:
        now, q, dq = twin.posture()
        return Message({"time": now, "q": q.tolist(), "dq": dq.tolist(), "motion": "moving" if twin.moving else "idle"})

    def scene() -> Message:
        seen = twin.observe()
        poses, valid = seen.poses.tolist(), seen.valid.tolist()
        return Message({"names": list(seen.names), "poses": poses, "valid": valid, "time": seen.time})

    def arrange(objects: list[list[float]], seed: int = 0, joints: list[float] | None = None) -> Message:
        twin.arrange(np.array(objects, float).reshape(-1, 7), int(seed), np.array(joints or [], float))
        return Message({})

    def picture(camera: str, height: int, width: int) -> Message:
        image, time = twin.picture(camera, height, width)
        return Message({"height": height, "width": width, "time": time}, image.tobytes())

    def silent(act: Callable[..., None]) -> Callable[..., Message]:
        def answer(**arguments: Any) -> Message:
            act(**arguments)
            return Message({})

        return answer

    table: dict[str, Callable[..., Message]] = {
        "hello": hello,
        "mode": mode,
        "advance": advance,
        "posture": posture,
        "scene": scene,
        "arrange": arrange,
        "picture": picture,
        "fault": silent(twin.inject),
        "heal": silent(twin.heal),
        "lift": silent(twin.lift),
    }
    return {name: _without_body(act) for name, act in table.items()}


def lent(twin: CanTwin) -> Mapping[str, Callable[[], Callable[[], None]]]:
    """What ends with its visitor, as `SideDoor` has it: gives what undoes it."""
    return {"mode": lambda: partial(twin.switch, twin.mode)}


def _without_body(act: Callable[..., Message]) -> Operation:
    def answer(arguments: dict[str, Any], body: bytes) -> Message:
        return act(**arguments)

    return answer
