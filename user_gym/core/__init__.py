"""Records and protocols that every layer shares: data in SI units, behaviour as protocols.

There is no code of any robot, simulator or learner here. Arrays named `(..., n)` hold one state or a batch.

**The pose chart.** Poses that are measured, ordered or judged are `(..., 6)`: the position of the TCP in the robot's
base frame (m), then the rotation vector (rad, base axes) that turns the *tool-down* orientation into the tool's. Tool-down
is the TCP's z axis pointing at the floor and its x axis along the base's x, so `(x, y, z, 0, 0, yaw)` is any top-down pose.
A box is a box in this chart, a delta is a subtraction, and one formula serves one arm and a batch. It is one-to-one
while the tool is turned by less than 180 degrees from tool-down. `robots.pose` converts to and from `(7,)` poses.
"""

from __future__ import annotations

from user_gym.core.arrays import (
    F32,
    F64,
    I64,
    U8,
    Bool,
    Obs,
)
from user_gym.core.device import (
    Attended,
    Backend,
    BatchBackend,
    Camera,
    Cell,
    Randomised,
    Robot,
    RobotBatch,
    SceneSource,
    Teleop,
    TeleopOrder,
    Window,
)
from user_gym.core.fleet import (
    Device,
    Inventory,
    Lease,
)
from user_gym.core.learning import (
    Acknowledgement,
    ActionChunk,
    Agent,
    Batch,
    Builder,
    Chunk,
    Padding,
    Policy,
    Storage,
    Weights,
)
from user_gym.core.numbers import real, whole
from user_gym.core.spec import (
    CameraSpec,
    Compliance,
    Damping,
    ForceEstimate,
    Gripper,
    RobotSpec,
)
from user_gym.core.task import (
    Body,
    EpisodicReward,
    Joint,
    Judgement,
    Reward,
    RewardSignal,
    Shape,
    Staged,
    Start,
    Task,
)
from user_gym.core.tick import (
    Command,
    Frame,
    RobotState,
    Scene,
    Workspace,
)

__all__ = [
    "F32",
    "F64",
    "I64",
    "U8",
    "Acknowledgement",
    "ActionChunk",
    "Agent",
    "Attended",
    "Backend",
    "Batch",
    "BatchBackend",
    "Body",
    "Bool",
    "Builder",
    "Camera",
    "CameraSpec",
    "Cell",
    "Chunk",
    "Command",
    "Compliance",
    "Damping",
    "Device",
    "EpisodicReward",
    "ForceEstimate",
    "Frame",
    "Gripper",
    "Inventory",
    "Joint",
    "Judgement",
    "Lease",
    "Obs",
    "Padding",
    "Policy",
    "Randomised",
    "Reward",
    "RewardSignal",
    "Robot",
    "RobotBatch",
    "RobotSpec",
    "RobotState",
    "Scene",
    "SceneSource",
    "Shape",
    "Staged",
    "Start",
    "Storage",
    "Task",
    "Teleop",
    "TeleopOrder",
    "Weights",
    "Window",
    "Workspace",
    "real",
    "whole",
]
