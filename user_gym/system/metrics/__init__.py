"""What a run is doing: one record, and the places it is shown in. It knows no algorithm, robot or task."""

from __future__ import annotations

from user_gym.system.metrics.endpoint import Endpoint
from user_gym.system.metrics.json_lines import JsonLines, newest
from user_gym.system.metrics.record import BufferRecord, LearnerRecord, RobotRecord, RunRecord, Staleness, State, Wait
from user_gym.system.metrics.recorder import Recorder, Sink
from user_gym.system.metrics.table import Table
from user_gym.system.metrics.tally import Tally
from user_gym.system.metrics.tensorboard import TensorBoard
from user_gym.system.metrics.training import TrainingWatch
from user_gym.system.metrics.weights_and_biases import WeightsAndBiases

__all__ = [
    "BufferRecord",
    "Endpoint",
    "JsonLines",
    "LearnerRecord",
    "Recorder",
    "RobotRecord",
    "RunRecord",
    "Sink",
    "Staleness",
    "State",
    "Table",
    "Tally",
    "TensorBoard",
    "TrainingWatch",
    "Wait",
    "WeightsAndBiases",
    "newest",
]
