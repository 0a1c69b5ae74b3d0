"""Draw docs/arms.png: each kind of arm at the work, with what its two cameras see. `python docs/draw_pictures.py`"""

from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image

import user_gym
from user_gym.tasks.expert import PegInsertExpert

SMALL = 240  # pixels of an inset


def inset(picture: np.ndarray) -> np.ndarray:
    """A camera's picture, enlarged without smoothing: what a policy gets."""
    return np.array(Image.fromarray(picture).resize((SMALL, SMALL), Image.Resampling.NEAREST))


def at_work(robot: str, steps: int) -> np.ndarray:
    """The arm after `steps` steps of the scripted expert."""
    env = gymnasium.make("User/PegInsert-sim-v0", robot=robot, obs="pixels", render_mode="rgb_array")
    obs, _ = env.reset(seed=3)
    expert = PegInsertExpert(env.unwrapped.task)
    for _ in range(steps):
        obs, _, over, _, _ = env.step(expert.read(env.unwrapped.state).action)
        if over:
            break
    picture = np.concatenate([env.render(), np.concatenate([inset(obs["wrist"]), inset(obs["side"])])], axis=1)
    env.close()
    return picture


if __name__ == "__main__":
    arms = np.concatenate([at_work("franka-fr3", 14), at_work("arx-x5", 22)], axis=1)
    path = Path(__file__).parent / "arms.png"
    Image.fromarray(arms).quantize(128).save(path, optimize=True)
    print(f"{path} (user_gym {user_gym.__version__})")
