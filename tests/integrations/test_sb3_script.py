"""The script of SB3's own documentation (SAC, 2.x), with the id changed."""

import pytest

pytest.importorskip("stable_baselines3", reason="comes with the extra 'sb3'")

SCRIPT = """
import gymnasium as gym

from stable_baselines3 import SAC

env = gym.make("Pendulum-v1", render_mode="human")

model = SAC("MlpPolicy", env, verbose=1)
model.learn(total_timesteps=10000, log_interval=4)
model.save("sac_pendulum")

del model # remove to demonstrate saving and loading

model = SAC.load("sac_pendulum")

obs, info = env.reset()
while True:
    action, _states = model.predict(obs, deterministic=True)
    obs, reward, terminated, truncated, info = env.step(action)
    if terminated or truncated:
        obs, info = env.reset()
"""
CHANGES = {
    "import gymnasium as gym": "import gymnasium as gym\nimport user_gym",
    "Pendulum-v1": "User/PegInsert-sim-v0",
    "MlpPolicy": "MultiInputPolicy",  # SB3's name for observations that are a Dict: it refuses the other
}
SHORTER = {
    ', render_mode="human"': "",  # a test has no screen
    "total_timesteps=10000, log_interval=4": "total_timesteps=210, log_interval=1",
    "while True": "for _ in range(110)",
}


def test_the_script_of_sb3s_documentation_trains_saves_loads_and_runs(tmp_path, monkeypatch, capsys):
    import torch

    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    text = SCRIPT
    for old, new in (CHANGES | SHORTER).items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    names = {}
    exec(compile(text, "script", "exec"), names)
    names["env"].close()
    assert names["model"].num_timesteps == 210
    assert (tmp_path / "sac_pendulum.zip").exists()
    logged = capsys.readouterr().out
    assert "ep_rew_mean" in logged
    assert "success_rate" in logged  # SB3 reads it from our info by itself
