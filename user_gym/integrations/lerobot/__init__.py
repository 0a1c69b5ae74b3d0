"""Experience goes to LeRobot and comes from there: datasets in its format v3.0, written and read without its library.

    lerobot.export("runs/peg/buffer", "datasets/peg")          # LeRobotDataset("peg", root="datasets/peg") reads it
    lerobot.load(buffer, "datasets/somebody-elses")

What `export` writes `load` brings back bit for bit: `features` says which column is which feature. LeRobot keeps no observation
after an episode's last step and no source of a chunk; these lie in a folder of ours, which its readers pass over.
"""

from __future__ import annotations

from user_gym.integrations.lerobot.exporting import Exported, export
from user_gym.integrations.lerobot.loading import Loaded, load

__all__ = ["Exported", "Loaded", "export", "load"]
