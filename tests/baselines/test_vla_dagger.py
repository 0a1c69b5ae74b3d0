"""Correcting a small VLA: through a socket, with weights that follow live, and runs that go on where they were cut off."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("websockets", reason="websockets comes with the extra 'openpi'")

from baselines import supervisor, vla, vla_dagger
from baselines.episodes import hand
from baselines.play import Play, play
from baselines.run_folder import Run
from baselines.supervisor import Supervisor
from baselines.vla import VlaConfig
from baselines.vla_dagger import DaggerConfig
from baselines.vla_demos import LABEL, demonstrate, make, parse, prompt_of
from baselines.vla_sft import Sft
from user_gym.errors import BadOption, UnknownName, WrongRun
from user_gym.system import Buffer, ChunkBuilder
from user_gym.system.atomic_file import write_json
from user_gym.system.chunked import ChunkedPolicy
from user_gym.wrappers import Intervention

TASKS = ("PegInsert:board=blue", "PegInsert:board=yellow")
PROMPTS = {task: f"insert the red peg into the {task.rpartition('=')[2]} board" for task in TASKS}
TINY: dict[str, Any] = {"side": 16, "cameras": ("wrist",), "horizon": 4, "execute": 4, "demos": 1, "batch_size": 8}
FEW: dict[str, Any] = {"episodes": 3, "updates": 2, "patience": 6, "checkpoint_every": 2, "human_noise": 0.0}


@pytest.fixture(scope="module")
def sft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two updates on two demonstrations."""
    folder = tmp_path_factory.mktemp("sft") / "run"
    config = VlaConfig(tasks=TASKS, updates=2, run_dir=folder, **TINY)
    envs = {task: make(task, config.robot, config.side, config.cameras) for task in TASKS}
    learner, run = vla.of(config, envs), Run(folder, config.identity)
    run.open()
    with Buffer.open(folder / "buffer", durability="kill") as buffer:
        for env in envs.values():
            demonstrate(env, buffer, 1, 0.0, 0)
            env.close()
        vla.learn(config, run, learner, buffer, PROMPTS)
    run.close()
    write_json(folder / "summary.json", {})
    return folder


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Episodes of 20 steps, and no judging."""

    def opened(*parts: Any) -> dict[str, Any]:
        return {task: gymnasium.wrappers.TimeLimit(env, 20) for task, env in vla.opened(*parts).items()}

    monkeypatch.setattr(vla_dagger, "opened", opened)
    monkeypatch.setattr(vla_dagger, "judged", lambda *_: {})


@pytest.mark.usefixtures("short")
def test_weights_reach_the_server_while_it_acts_and_the_human_is_learned_from(sft: Path, tmp_path: Path, capsys: Any) -> None:
    config = DaggerConfig(sft=sft, run_dir=tmp_path / "run", **FEW)
    summary = vla_dagger.main(config)
    assert (summary["updates"], summary["episodes"], summary["versions"]) == (6, 3, 3)
    with Buffer.open(config.folder / "buffer", read_only=True) as own:
        steps = own.steps(own.numbers(), ("policy_version", "is_intervention"))
        chunks = [own.chunk(int(number)) for number in own.view("terminated OR truncated").numbers()]
    assert [chunk.task for chunk in chunks] == [TASKS[0], TASKS[1], TASKS[0]]
    for updates, chunk in zip((0, 2, 4), chunks, strict=True):  # that the model had had when the episode began
        assert set(chunk.policy_version[~chunk.is_intervention]) == {updates}
    assert summary["labels"] == steps["is_intervention"].sum() > 0
    assert not steps["is_intervention"].all()
    told = capsys.readouterr().out
    assert f"3 corrected episodes, 6 updates\nsummary     {config.folder}/summary.json\n" in told
    assert vla_dagger.main(config) == summary
    assert f"{config.folder} is finished" in capsys.readouterr().out
    policy = vla.load(config.folder)
    assert (policy.version, policy.prompt) == (6, PROMPTS[TASKS[0]])
    more = DaggerConfig(sft=config.folder, run_dir=tmp_path / "more", **FEW | {"episodes": 1, "seed": 1})
    assert (vla_dagger.main(more)["updates"], vla.load(more.folder).version) == (2, 2)


@pytest.mark.usefixtures("short")
def test_a_run_that_was_cut_off_keeps_its_episodes_and_makes_up_for_updates(
    sft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DaggerConfig(sft=sft, run_dir=tmp_path / "run", **FEW | {"checkpoint_every": 100})
    corrected, numbers = vla_dagger.corrected, list[int]()

    def cut(robot: Any, number: int, seed: int) -> Any:
        numbers.append(number)
        if len(numbers) == 2:
            raise KeyboardInterrupt
        return corrected(robot, number, seed)

    monkeypatch.setattr(vla_dagger, "corrected", cut)
    with pytest.raises(KeyboardInterrupt):
        vla_dagger.main(config)
    with pytest.raises(WrongRun, match="updates=2 there, 3 here"):
        vla_dagger.main(DaggerConfig(sft=sft, run_dir=tmp_path / "run", **FEW | {"checkpoint_every": 100, "updates": 3}))
    summary = vla_dagger.main(config)
    assert numbers == [0, 1, 1, 2]  # the one that was cut off, again
    assert (summary["updates"], summary["episodes"], summary["versions"]) == (6, 3, 3)


def test_of_a_corrected_episode_the_humans_orders_are_learned_and_nothing_else(sft: Path, tmp_path: Path) -> None:
    kept, model, _ = vla.reopened(sft)
    env = make(TASKS[0], "franka-fr3", 16, ("wrist",))
    human = Supervisor(env.unwrapped.task, hand(env), 6)  # pyright: ignore[reportAttributeAccessIssue]
    nobody = {LABEL: np.full(6, np.nan, np.float32)}
    builder = ChunkBuilder("robot", "franka-fr3", TASKS[0], max_seconds=1e6, extra=nobody)
    robot = vla_dagger.Robot(Intervention(env, human), ChunkedPolicy(model.policy("x"), horizon=4), builder)
    chunk = vla_dagger.corrected(robot, 0, 0)
    env.close()
    with Buffer.open(tmp_path / "buffer", durability="kill") as own:
        own.append(chunk)
        batch = own.view("is_intervention").sample(64, np.random.default_rng(0), kept.horizon)
    _, actions, counts = Sft(kept, ("wrist",), 6)._read("x", batch)
    theirs = batch.is_intervention & batch.valid
    np.testing.assert_array_equal(counts.numpy().any(-1), theirs)
    np.testing.assert_array_equal(actions.numpy()[theirs], batch.ordered[theirs])
    assert theirs[:, 0].all()
    assert not theirs.all()


def test_prompts_are_those_of_tasks_with_their_options() -> None:
    assert parse("Charger") == ("Charger", {})
    assert parse("PegInsert:board=blue,hole_offset=0.002") == ("PegInsert", {"board": "blue", "hole_offset": 0.002})
    for task, prompt in PROMPTS.items():
        env = make(task, "arx-x5", 16, ("wrist",))
        assert prompt_of(env) == prompt
        assert set(env.observation_space.spaces) == {"state", "wrist"}  # pyright: ignore[reportAttributeAccessIssue]
        env.close()


def test_a_robot_that_a_task_names_is_its_body_and_the_first_word_of_its_prompt() -> None:
    with closing(make("PegInsert:board=blue,robot=arx-x5", "franka-fr3", 16, ("wrist",))) as env:
        assert env.unwrapped.spec_of_robot.name == "arx-x5"  # pyright: ignore[reportAttributeAccessIssue]
        assert prompt_of(env) == f"arx-x5 {PROMPTS[TASKS[0]]}"
    with pytest.raises(UnknownName, match=r"unknown robot 'arx-x6'; .*did you mean 'arx-x5'"):
        make("PegInsert:robot=arx-x6", "franka-fr3", 16)
    config = VlaConfig(tasks=("PegInsert:robot=franka-fr3", "PegInsert:robot=arx-x5"), **TINY)
    with ExitStack() as stack:
        envs = vla.opened(config, stack)
        vla.of(config, envs)  # told apart by the body, though both do the same
        bodies = {env.unwrapped.spec_of_robot.name for env in envs.values()}  # pyright: ignore[reportAttributeAccessIssue]
    assert bodies == {"franka-fr3", "arx-x5"}


@pytest.mark.parametrize("label", ["PegInsert:board", "PegInsert:=blue", "PegInsert:board='blue'", "PegInsert:board=blue,"])
def test_options_of_a_task_that_mean_nothing_are_refused(label: str) -> None:
    with pytest.raises(BadOption, match=r"bad task .*NAME:option=value"):
        parse(label)
    with pytest.raises(UnknownName, match="unknown camera 'font'; known: side, wrist"):
        make("PegInsert", "franka-fr3", 16, ("font",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "bad episodes 0"),
        ({"corrections": 1.0}, "bad corrections 1.0; allowed: 0.01 .. 0.99"),
        ({"human_noise": -1.0}, "bad human_noise"),
    ],
)
def test_options_of_corrections_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        DaggerConfig(sft=Path("run"), **options)


def test_a_task_that_no_human_can_watch_is_refused_before_anything_is_made(
    sft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LEFT", {})
    with pytest.raises(BadOption, match="one whose progress can be seen"):
        vla_dagger.main(DaggerConfig(sft=sft, run_dir=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_run_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(WrongRun, match="holds no run"):
        vla_dagger.main(DaggerConfig(sft=tmp_path / "none", run_dir=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_not_finished_is_not_gone_on_from_and_one_that_is_is_found_from_anywhere(
    sft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sft.parent)
    named = DaggerConfig(sft=Path(sft.name), **FEW)
    assert named.identity == DaggerConfig(sft=sft, **FEW).identity
    early = tmp_path / "early"
    shutil.copytree(sft, early)
    (early / "summary.json").unlink()
    with pytest.raises(WrongRun, match="early is not finished, 2 updates are done"):
        vla_dagger.main(DaggerConfig(sft=early, run_dir=tmp_path / "run", **FEW))
    assert not (tmp_path / "run").exists()


def test_tasks_with_the_same_prompt_cannot_be_told_apart() -> None:
    config = VlaConfig(tasks=("PegInsert", "PegInsert:hole_offset=0.002"), **TINY)
    with ExitStack() as stack, pytest.raises(BadOption, match="tasks with a prompt of their own each"):
        vla.of(config, vla.opened(config, stack))


def test_folders_of_other_runs_and_of_none_are_told_of(sft: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongRun, match=r"nothing holds no run; make one: python -m baselines\.vla"):
        vla.load(tmp_path / "nothing")
    with pytest.raises(WrongRun, match=r"is a run of none of rlpd, .*baselines\.vla_serve"):
        play(Play(sft))
    other = tmp_path / "other"
    shutil.copytree(sft, other)
    kept = {"method": "rlpd"}
    (other / "config.json").write_text(json.dumps(kept))
    with pytest.raises(WrongRun, match=r"is a run of rlpd, not of baselines\.vla"):
        vla.load(other)
