"""Fine-tuning a small VLA: demonstrations that say what the expert would do, and runs that go on where they were cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cutting import cut_off

from baselines import vla
from baselines.run_folder import Run
from baselines.vla import VlaConfig
from baselines.vla_demos import LABEL, demonstrate, make, of_task
from baselines.vla_sft import Sft
from user_gym.errors import BadOption, UnknownName, WrongRun
from user_gym.system import Buffer

TINY: dict[str, Any] = {"side": 16, "horizon": 4, "execute": 4, "demos": 2, "batch_size": 4, "eval_episodes": 1}


@pytest.fixture(scope="module")
def buffer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Buffer.open(tmp_path_factory.mktemp("vla") / "buffer", durability="kill") as kept:
        for task in ("PegInsert", "Charger"):
            env = make(task, "franka-fr3", 16)
            demonstrate(env, kept, 2, 0.15, 0)
            env.close()
        yield kept


def test_each_demonstration_is_told_of(tmp_path: Path) -> None:
    env, lines = make("PegInsert", "franka-fr3", 16), list[str]()
    with Buffer.open(tmp_path / "buffer", durability="kill") as kept:
        demonstrate(env, kept, 2, 0.0, 0, lines.append)
    env.close()
    assert lines == ["demonstration   1 of 2", "demonstration   2 of 2"]


def test_demonstrations_say_what_the_expert_would_do_and_go_on_where_they_were_cut_off(tmp_path: Path) -> None:
    env = make("PegInsert", "franka-fr3", 16)
    with Buffer.open(tmp_path / "buffer", durability="kill") as kept:
        assert demonstrate(env, kept, 1, 0.3, 0) >= 1
        first = kept.chunk(0)
        assert first.obs["wrist"].shape[1:] == (16, 16, 3)
        assert first.success[-1]
        assert 0.0 < np.abs(first.ordered - first.extra[LABEL]).max() <= 2.0
        assert demonstrate(env, kept, 1, 0.3, 0) == 0
        assert demonstrate(env, kept, 2, 0.0, 0) >= 1
        second = kept.chunk(len(first))
        assert second.episode > first.episode
        np.testing.assert_array_equal(second.ordered, second.extra[LABEL])
        assert len(kept.view(of_task("Charger"))) == 0
    env.close()


def trained(buffer: Buffer, folder: Path, updates: int, total: int, tasks: tuple[str, ...] = ("PegInsert", "Charger")) -> Sft:
    """A run that ends after `updates` of `total`."""
    config = VlaConfig(tasks=tasks, updates=total, checkpoint_every=1, run_dir=folder, **TINY)
    sft, run = Sft(config, ("wrist", "side"), 6), Run(folder, config.identity)
    with cut_off(run, lambda: sft.updates == updates):
        vla.learn(config, run, sft, buffer, {task: f"do {task}" for task in tasks})
    return sft


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(buffer: Buffer, tmp_path: Path) -> None:
    whole = trained(buffer, tmp_path / "whole", 5, 5)
    trained(buffer, tmp_path / "cut", 2, 5)
    resumed = trained(buffer, tmp_path / "cut", 5, 5)
    assert resumed.updates == whole.updates == 5
    for (name, one), other in zip(whole.net.state_dict().items(), resumed.net.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_what_is_learned_is_the_experts_action_and_not_what_noise_made_of_it(buffer: Buffer) -> None:
    config = VlaConfig(tasks=("PegInsert",), updates=1, **TINY)
    sft = Sft(config, ("wrist", "side"), 7)
    batch = buffer.view(of_task("PegInsert")).sample(64, np.random.default_rng(0), config.horizon)
    _, actions, counts = sft._read("insert", batch)
    np.testing.assert_array_equal(actions[..., :6].numpy(), batch.extra[LABEL])
    assert batch.valid is not None
    np.testing.assert_array_equal(counts[..., 0].numpy() > 0, batch.valid)
    assert not batch.valid.all()
    assert counts[..., 6].sum() == 0  # an axis that this task does not have


def test_the_scale_of_the_state_is_that_of_the_demonstrations(buffer: Buffer, tmp_path: Path) -> None:
    sft = trained(buffer, tmp_path / "run", 1, 1)
    states = np.concatenate([vla._states(buffer.view(of_task(task))) for task in ("PegInsert", "Charger")])
    np.testing.assert_allclose(sft.net.state_mean.numpy(), states.mean(0), rtol=1e-5)
    assert sft.net.state_scale.min() >= 0.05


def assert_served(folder: Path) -> None:
    pytest.importorskip("websockets", reason="websockets comes with the extra 'openpi'")
    from baselines.vla_serve import Serve, serving
    from user_gym.integrations.openpi.client import RemotePolicy
    from user_gym.integrations.openpi.conventions import LIBERO

    with pytest.raises(UnknownName, match=r"unknown convention 'liber'; .*did you mean 'libero'"):
        Serve(folder, convention="liber")
    pictures = np.zeros((2, 32, 32, 3), np.uint8)
    obs = {"state": np.zeros(19, np.float32), "wrist": pictures[0], "side": pictures[1]}
    with serving(Serve(folder, port=0, convention="libero")) as server, RemotePolicy(server.url, convention=LIBERO) as remote:
        chunk = remote.act(obs, deterministic=True)
        assert (chunk.actions.shape, chunk.version, remote.metadata["horizon"]) == ((4, 6), 2, 4)
        np.testing.assert_allclose(chunk.actions, vla.load(folder).act(obs, deterministic=True).actions, atol=1e-5)


@pytest.mark.slow
def test_one_command_demonstrates_learns_judges_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = VlaConfig(tasks=("PegInsert", "Charger"), updates=2, run_dir=tmp_path / "run", **TINY)
    summary = vla.main(config)
    assert summary["success"].keys() == {"PegInsert", "Charger"}
    assert summary["success"]["PegInsert"].keys() == {"PegInsert", "Charger"}
    assert summary["updates"] == 2
    assert "PegInsert with the prompt of Charger: success" in capsys.readouterr().out
    assert vla.main(config) == summary
    again = capsys.readouterr().out
    assert "is finished" in again
    assert all(f"{tmp_path / 'run'}{end}" in again for end in ("/summary.json\n", "/checkpoint-0-2.pt\n", "/buffer\n", "\n"))
    policy = vla.load(tmp_path / "run")
    assert (policy.version, policy.prompt) == (2, "insert the red peg into the hole of the board")
    assert vla.load(tmp_path / "run", "plug it in").prompt == "plug it in"
    assert_served(tmp_path / "run")
    with pytest.raises(WrongRun, match="belongs to another configuration: updates=2 there, 3 here"):
        vla.main(VlaConfig(tasks=("PegInsert", "Charger"), updates=3, run_dir=tmp_path / "run", **TINY))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tasks": ("PegInser",)}, UnknownName, "unknown task 'PegInser'; known: .*did you mean 'PegInsert'"),
        ({"tasks": ()}, BadOption, "bad tasks"),
        ({"tasks": ("PegInsert", "PegInsert")}, BadOption, "each once"),
        ({"side": 48}, BadOption, "bad side 48; allowed: 16, 32, 64 or 128"),
        ({"execute": 9}, BadOption, "bad execute 9; allowed: 1 .. horizon, which is 8"),
        ({"demo_noise": 2.0}, BadOption, "bad demo_noise"),
        ({"updates": 0}, BadOption, "bad updates 0"),
        ({"tasks": ("PegInsert", "Charger"), "batch_size": 1}, BadOption, "one of each task"),
    ],
)
def test_options_are_checked(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        VlaConfig(**options)
