"""Reinforcement learning of a small VLA: what is collected, and runs that go on where they were cut off."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from cutting import cut_off
from gymnasium.spaces import Box, Dict

from baselines import vla, vla_dagger, vla_rl
from baselines.flow_ppo import FlowPpo, Learned
from baselines.run_folder import Run
from baselines.vla_dagger import DaggerConfig
from baselines.vla_demos import make
from baselines.vla_network import MOST_WORDS, STATE, VlaNetwork
from baselines.vla_rl import VlaRlConfig
from user_gym.errors import BadOption, UnknownName, WrongRun

torch.set_num_threads(1)
FEW: dict[str, Any] = {"episodes": 3, "twins": 2, "batch_size": 8, "epochs": 1, "eval_episodes": 1}


class Toy(gymnasium.Env[Any, Any]):
    """Episodes of 3 to 7 steps, by their seed; those of odd seeds succeed at their end, the others run out of time.

    An object rises from the tool by 1 mm a step.
    """

    observation_space = Dict({"wrist": Box(0, 255, (16, 16, 3), np.uint8), "state": Box(-9, 9, (STATE,), np.float32)})
    action_space = Box(-1, 1, (6,), np.float32)
    task, prompt = SimpleNamespace(max_steps=10), "do it"
    state = SimpleNamespace(tcp=np.zeros(6))

    @property
    def scene(self) -> Any:
        return SimpleNamespace(poses=np.array([[0.0, 0.0, -0.001 * self.step_number, 1.0, 0.0, 0.0, 0.0]]))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        assert seed is not None
        self.seed, self.step_number = seed, 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        assert self.step_number < self._length, "stepped on after the end"
        assert action.shape == (6,)
        assert np.abs(action).max() <= 1.0
        self.step_number += 1
        over, odd = self.step_number == self._length, self.seed % 2 == 1
        return self._seen(), float(over and odd), over and odd, over and not odd, {"is_success": over and odd}

    @property
    def _length(self) -> int:
        return 3 + self.seed % 5

    def _seen(self) -> dict[str, Any]:
        return {"wrist": np.zeros((16, 16, 3), np.uint8), "state": np.full(STATE, self.step_number, np.float32)}


def agent(config: VlaRlConfig) -> FlowPpo:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = VlaNetwork(("wrist",), 16, 7, 4, width=16, heads=2, layers=(1, 1))
    return FlowPpo(net, (2, 6), 7, config)


def test_every_chunk_of_every_episode_is_collected_once_and_in_order() -> None:
    words = torch.zeros(MOST_WORDS, dtype=torch.long)
    found = vla_rl.practise(agent(VlaRlConfig(sft=Path("sft"))), [Toy(), Toy()], words, 5, 100)
    lengths = [3, 4, 5, 6, 7]
    assert found.steps == sum(lengths)
    assert found.success == 2 / 5  # 101 and 103
    assert found.episode.tolist() == [0] * 2 + [1] * 2 + [2] * 3 + [3] * 3 + [4] * 4
    assert found.reward.nonzero().flatten().tolist() == [3, 9]  # their last chunks
    begun = [2 * chunk for length in lengths for chunk in range((length + 1) // 2)]
    torch.testing.assert_close(found.told[:, 0], 1.0 - torch.tensor(begun) / 10)
    torch.testing.assert_close(found.told[:, 3].abs(), torch.tensor(begun).float().asinh())
    assert found.ways.shape == (14, 5, 4, 7)
    assert len(found.memory) == 14


def test_the_critic_is_told_where_the_hole_really_is_and_the_model_is_not() -> None:
    felt, known = [], []
    for task in ("PegInsert:hole_offset=0.0", "PegInsert:hole_offset=0.003"):
        with closing(make(task, "franka-fr3", 16, ("wrist",))) as twin:
            felt.append(twin.reset(seed=0)[0]["state"])
            known.append(vla_rl.told(twin, 0.5).double().numpy())
            core: Any = twin.unwrapped
            away = core.scene.pose("board")[:3] - core.state.tcp[:3]
            assert len(known[-1]) == vla_rl.told_numbers(core.task) == 7
            assert known[-1][0] == 0.5
            # The tool looks down: seen from it, what is below is ahead, and one horizontal axis is turned round.
            assert np.linalg.norm(np.sinh(known[-1][1:4]) * 0.001) == pytest.approx(np.linalg.norm(away), rel=1e-4)
            assert np.sinh(known[-1][3]) * 0.001 == pytest.approx(-away[2], abs=0.002)
    np.testing.assert_array_equal(felt[0], felt[1])
    between = np.sinh(known[0][1:4]) - np.sinh(known[1][1:4])
    assert np.linalg.norm(between) * 0.001 == pytest.approx(0.003, rel=0.01)


def learned(folder: Path, cut_after: int) -> FlowPpo:
    """A run of 3 iterations that is cut off after some."""
    config = VlaRlConfig(sft=Path("sft"), iterations=3, run_dir=folder, **FEW)
    found, run = agent(config), Run(folder, config.identity)
    with cut_off(run, lambda: found.iterations == cut_after):
        vla_rl.learn(config, run, found, [Toy(), Toy()])
    assert [point["iteration"] for point in run.curve] == list(range(found.iterations + 1))
    assert run.counters.episodes == 3 * found.iterations
    return found


def test_a_line_of_progress_says_what_its_numbers_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learned(tmp_path / "run", 2)
    _, line = capsys.readouterr().out.splitlines()[-1].split("/3 iterations  ")
    assert line.startswith("success 0.33 of 3 episodes, ")  # one of 10000000 to 10000002 is odd
    assert " nats per chunk in 1 epochs, critic explains " in line
    assert vla_rl.described(Learned(0.1234, 2, None)) == (
        "moved by 0.123 nats per chunk in 2 epochs, critic explains - of the returns' variance"
    )


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = learned(tmp_path / "whole", 3)
    learned(tmp_path / "cut", 1)
    resumed = learned(tmp_path / "cut", 3)
    assert resumed.iterations == whole.iterations == 3
    for (name, one), other in zip(whole.net.state_dict().items(), resumed.net.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.slow
def test_one_command_goes_on_from_a_trained_model_and_what_it_made_can_be_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny: dict[str, Any] = {"side": 16, "horizon": 4, "execute": 4, "demos": 2, "batch_size": 4, "eval_episodes": 1}
    vla.main(vla.VlaConfig(tasks=("PegInsert", "Charger"), updates=2, run_dir=tmp_path / "sft", **tiny))
    config = VlaRlConfig(sft=tmp_path / "sft", iterations=1, run_dir=tmp_path / "rl", **FEW)
    summary = vla_rl.main(config)
    assert summary["task"] == "PegInsert"
    assert summary["episodes"] == 3
    capsys.readouterr()
    assert vla_rl.main(config) == summary
    again = capsys.readouterr().out
    assert f"before: success {summary['before']:.2f} over 1 episodes\nafter: " in again
    assert f"checkpoint  {tmp_path / 'rl' / 'checkpoint'}-{summary['env_steps']}-1.pt\n" in again
    policy, before = vla.load(tmp_path / "rl"), vla.load(tmp_path / "sft")
    assert (policy.prompt, policy.version) == ("insert the red peg into the hole of the board", 1)
    assert (policy.steps, before.steps) == (4, 8)  # each as it was trained
    assert (policy.noise_level, before.noise_level) == (config.noise_level, 0.0)
    assert vla.load(tmp_path / "rl", noise_level=0.0).noise_level == 0.0
    moved = {name for name, value in policy.net.state_dict().items() if not torch.equal(value, before.net.state_dict()[name])}
    assert any(name.startswith("makers") for name in moved)
    assert not any(name.startswith(("eyes", "readers", "words")) for name in moved)
    with pytest.raises(WrongRun, match=r"rl is a run of baselines.vla_rl, .* correct .*sft, and reinforce"):
        vla_dagger.main(DaggerConfig(sft=tmp_path / "rl", run_dir=tmp_path / "corrected"))
    with pytest.raises(UnknownName, match="unknown task 'PickPlace'; known: Charger, PegInsert"):
        vla_rl.main(VlaRlConfig(sft=tmp_path / "sft", task="PickPlace", run_dir=tmp_path / "other"))
    with pytest.raises(WrongRun, match="belongs to another configuration: iterations=1 there, 2 here"):
        vla_rl.main(VlaRlConfig(sft=tmp_path / "sft", iterations=2, run_dir=tmp_path / "rl", **FEW))


def test_a_run_has_to_begin_with_one_and_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(WrongRun, match="holds no run"):
        vla_rl.main(VlaRlConfig(sft=tmp_path / "nothing", run_dir=tmp_path / "rl"))
    assert not (tmp_path / "rl").exists()
    with pytest.raises(BadOption, match="bad twins 0"):
        VlaRlConfig(sft=tmp_path, twins=0)
    with pytest.raises(BadOption, match=r"bad noise_level 2\.0"):
        VlaRlConfig(sft=tmp_path, noise_level=2.0)
