"""The classifier's training command: which frames it takes, what it holds out, and what it says of itself."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines import reward_classifier
from baselines.reward_classifier import Options
from baselines.reward_frames import CHOOSE, LEARN, REPORT, Frames, Quality, frames, quality, split, threshold
from user_gym.core import RewardSignal
from user_gym.errors import BadOption
from user_gym.rewards import Classifier
from user_gym.system import Buffer, ChunkBuilder
from user_gym.system.verdicts import Verdicts

QUICK = {"updates": 150, "hidden": 16, "members": 2, "batch_size": 64, "learning_rate": 1e-2}


def fill(buffer, episodes=60, steps=12, width=2, robot="r", source="hands", side=0):
    """Episodes whose state falls; two of three succeed, where it gets below zero. The rest end above.

    With a side, there are pictures that show how far it fell, and the state says nothing.
    """
    rng = np.random.default_rng(0)
    for episode in range(episodes):
        floor = -0.1 if episode % 3 else 0.4
        heights = np.linspace(1, floor, steps + 1) + rng.uniform(0, 0.05)
        rows = np.concatenate([heights[:, None], rng.standard_normal((steps + 1, width - 1))], 1).astype(np.float32)
        builder = ChunkBuilder(source, robot, "t", max_seconds=0.5)
        seen = [{"state": np.zeros(width, np.float32), "eye": shown(row[0], side)} if side else {"state": row} for row in rows]
        builder.start(seen[0], episode)
        for step in range(steps):
            last = step == steps - 1
            won = last and bool(episode % 3)
            info = {"is_success": won}
            chunk = builder.add(np.zeros(1, np.float32), float(won), won, last and not won, info, seen[step + 1], 0)
            if chunk is not None:
                buffer.append(chunk)


def shown(height, side):
    """A picture, grey below a height of -0.1 .. 1.05, black above."""
    picture = np.zeros((side, side, 3), np.uint8)
    picture[int(side * (1.05 - height) / 1.2) :] = 128
    return picture


@pytest.fixture
def folder(tmp_path):
    torch.set_num_threads(1)
    with Buffer.open(tmp_path / "buffer") as buffer:
        fill(buffer)
    return tmp_path


def test_frames_are_what_steps_led_to_and_success_is_the_last_of_a_good_episode(folder) -> None:
    with Buffer.open(folder / "buffer", read_only=True) as buffer:
        found = frames(buffer, "TRUE", "success AND terminated")
        part = frames(buffer, "episode = 4", "success AND terminated")
        stored = buffer.read(buffer.numbers())
    assert np.array_equal(found.state, stored.next_obs["state"])
    assert found.success.tolist() == [step == 11 and episode % 3 > 0 for episode in range(60) for step in range(12)]
    assert found.episode.tolist() == [episode for episode in range(60) for _ in range(12)]
    assert np.array_equal(part.state, found.of(np.array([4])).state)
    assert part.success.sum() == 1


def test_what_a_person_labelled_can_be_success(folder) -> None:
    with Buffer.open(folder / "buffer") as buffer:
        buffer.view("episode = 3").relabel("verdict", lambda chunk: chunk.truncated.astype(np.float32), "human")
        found = frames(buffer, "TRUE", "verdict > 0.5")
    assert np.flatnonzero(found.success).tolist() == [3 * 12 + 11]


def test_what_a_person_said_in_time_and_late_can_be_success() -> None:
    """By the conditions of docs/rewards.md."""
    said = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text()
    where, success = (re.search(f'--{name} "(.*verdict.*)"', said) for name in ("where", "success"))
    assert where
    assert success
    with Buffer.open(":memory:") as buffer:
        # judged by, success: in time, in time, nobody, late, late against what was said in time
        for episode, (by, won) in enumerate((("human", 1), ("human", 0), ("rule", 1), ("rule", 0), ("human", 1))):
            builder = ChunkBuilder("collector-0", "r", "t", max_seconds=10.0)
            builder.start({"state": np.zeros(1, np.float32)}, episode)
            for step in range(3):
                last = step == 2
                info = {"is_success": last and bool(won), "reward_source": by if last else "rule"}
                over = last and (by == "human" or bool(won))
                state = {"state": np.full(1, 10 * episode + step, np.float32)}
                chunk = builder.add(np.zeros(1, np.float32), float(last and won), over, last and not over, info, state, 0)
            assert chunk is not None
            buffer.append(chunk)
        with Verdicts(buffer) as verdicts:
            verdicts.tell(3, True)
            verdicts.tell(4, False)
        found = frames(buffer, where[1], success[1])
    assert found.state[:, 0].tolist() == [2, 12, 30, 31, 32, 40, 41, 42]
    assert found.state[found.success, 0].tolist() == [2, 32]


def test_episodes_stay_whole_and_nobody_learns_from_what_is_reported(folder) -> None:
    with Buffer.open(folder / "buffer", read_only=True) as buffer:
        found = frames(buffer, "TRUE", "success AND terminated")
    parts, others = split(found, 0), split(found, 1)
    episodes = {name: {*part.episode.tolist()} for name, part in parts.items()}
    assert [len(episodes[name]) for name in (LEARN, CHOOSE, REPORT)] == [36, 12, 12]
    assert len(set().union(*episodes.values())) == 60
    assert [int(parts[name].success.sum()) for name in (LEARN, CHOOSE, REPORT)] == [24, 8, 8]
    assert {*others[REPORT].episode.tolist()} != episodes[REPORT]


def test_rates_are_of_frames_and_of_episodes() -> None:
    success, none = np.array([0, 0, 0, 1, 0, 0, 0, 1], bool), np.zeros(8, np.int64)
    found = Frames(np.zeros((8, 1), np.float32), success, np.repeat([0, 1], 4), none, {})
    score = np.array([0.1, 0.7, 0.8, 0.9, 0.1, 0.1, 0.1, 0.4])
    reached = quality(score, found, 0.5)
    assert reached == Quality(8, 2, 5 / 8, 2 / 6, 1 / 2, 1 / 2)
    assert quality(score, found, 0.8).false_positives == 0
    assert threshold(score, found, 0.01) == 0.8
    assert threshold(score, found, 0.6) == 0.5  # a rate of one half is allowed


def test_it_learns_tells_how_well_and_keeps_that(folder, capsys) -> None:
    options = Options(folder / "buffer", folder / "reward.npz", **QUICK)
    told = reward_classifier.main(options)
    held_out = told["held_out"]
    assert held_out["episodes"] == 12
    assert held_out["accuracy"] > 0.95
    reward_classifier.report(options, told)
    said = capsys.readouterr().out
    assert "held out: 144 frames of 12 episodes" in said
    assert f"{held_out['accuracy']:.4f} of frames" in said
    kept = Classifier.load(folder / "reward.npz").network
    assert json.loads(json.dumps(told)) == kept.told
    assert kept.threshold == told["threshold"]
    low, high = kept.score(np.array([[-0.08, 0], [0.9, 0]], np.float32))
    assert low > 0.5 > high
    again = Options(folder / "buffer", folder / "again.npz", **QUICK)
    reward_classifier.main(again)
    assert np.array_equal(Classifier.load(folder / "again.npz").network.weights[0], kept.weights[0])


def test_it_learns_from_pictures_what_the_state_does_not_tell(tmp_path, capsys) -> None:
    torch.set_num_threads(1)
    with Buffer.open(tmp_path / "buffer") as buffer:
        fill(buffer, side=32)
    options = Options(tmp_path / "buffer", tmp_path / "reward.npz", obs="pixels", **QUICK | {"learning_rate": 1e-3})
    told = reward_classifier.main(options)
    assert told["held_out"]["accuracy"] > 0.95
    assert told["held_out"]["missed"] < 0.5
    judge, rule = Classifier.load(options.out), RewardSignal(0.0, False, "rule")
    said = [judge({"state": np.zeros(2, np.float32), "eye": shown(h, 32)}, None, None, rule).success for h in (-0.09, 0.5, 0.9)]
    assert said == [True, False, False]
    with pytest.raises(BadOption, match="is missed"):
        reward_classifier.main(Options(tmp_path / "buffer", tmp_path / "blind.npz", **QUICK))  # the state alone says nothing


def test_pictures_are_those_that_steps_led_to_in_each_part(tmp_path) -> None:
    with Buffer.open(tmp_path / "buffer") as buffer:
        fill(buffer, side=32)
        found = frames(buffer, "episode > 4", "success AND terminated", picture_bytes=1 << 30)
        stored = buffer.read(buffer.view("episode > 4").numbers())
        assert np.array_equal(found.pictures["eye"], stored.next_obs["eye"])
        for part in split(found, 0).values():
            one = part.of(part.episode[:1])
            mine = buffer.view(f"episode = {part.episode[0] + 5}")
            assert np.array_equal(one.seen(np.arange(12))["eye"], buffer.read(mine.numbers()).next_obs["eye"])
        fill(buffer, episodes=1, side=64, source="other")
        with pytest.raises(BadOption, match="one kind of robot"):
            frames(buffer, "TRUE", "success AND terminated", picture_bytes=1 << 30)


def test_more_pictures_than_memory_may_hold_are_refused_before_they_are_read(tmp_path) -> None:
    with Buffer.open(tmp_path / "buffer") as buffer:
        fill(buffer, episodes=30, side=32)
    needed = 30 * 12 * 32 * 32 * 3
    options = Options(tmp_path / "buffer", tmp_path / "r.npz", obs="pixels", picture_bytes=needed - 1, **QUICK)
    with pytest.raises(BadOption, match=r"'1,105,920, of 360 frames'; allowed: 1,105,919 or less.*--where.*--picture-bytes"):
        reward_classifier.main(options)
    with Buffer.open(tmp_path / "buffer", read_only=True) as buffer:
        assert len(frames(buffer, "TRUE", "success AND terminated", needed).pictures["eye"]) == 360
        assert frames(buffer, "TRUE", "success AND terminated").pictures == {}


def test_a_buffer_without_pictures_is_refused(folder) -> None:
    with pytest.raises(BadOption, match=r"obs 'pixels'.*no pictures.*--obs pixels"):
        reward_classifier.main(Options(folder / "buffer", folder / "reward.npz", obs="pixels", **QUICK))


def test_too_little_is_refused_and_says_what_there_is(folder) -> None:
    for where, words in (("episode < 9", "6 episodes with success"), ("episode > 90", "condition that frames")):
        with pytest.raises(BadOption, match=words):
            reward_classifier.main(Options(folder / "buffer", folder / "reward.npz", where, **QUICK))
    assert not (folder / "reward.npz").exists()


def test_a_part_of_one_kind_alone_is_refused() -> None:
    """All frames without success are of one good episode, which only one part can have."""
    success = np.array([True] * 30 + [False] * 30)
    found = Frames(np.zeros((60, 1), np.float32), success, np.array([*range(30), *[0] * 30]), np.arange(60), {})
    lacking = set()
    for seed in range(10):
        with pytest.raises(BadOption, match=r"success frames '(\d+) of \1 in the part to .*more episodes") as refused:
            split(found, seed)
        lacking.add(str(refused.value).partition("part to ")[2].partition("'")[0])
    assert LEARN in lacking


def test_a_classifier_that_sees_next_to_no_success_is_not_written(folder, monkeypatch) -> None:
    monkeypatch.setattr(reward_classifier, "threshold", lambda *given: 1.0)
    with pytest.raises(BadOption, match=r"max_false.*1\.00 of it is missed.*more episodes.*not written"):
        reward_classifier.main(Options(folder / "buffer", folder / "reward.npz", **QUICK))
    assert not (folder / "reward.npz").exists()


def test_unlike_robots_are_refused(folder) -> None:
    with Buffer.open(folder / "buffer") as buffer:
        fill(buffer, episodes=1, width=3, robot="other", source="more")
        with pytest.raises(BadOption, match="one kind of robot"):
            frames(buffer, "TRUE", "success AND terminated")


@pytest.mark.parametrize(
    "wrong",
    [
        {"members": -1},
        {"picture_bytes": 0},
        {"obs": "picture"},
        {"max_false": 0.0},
        {"max_false": float("nan")},
        {"learning_rate": 2.0},
        {"batch_size": 1},
        {"out": Path("r")},
    ],
)
def test_options_that_are_not_allowed_are_named(tmp_path, wrong) -> None:
    with pytest.raises(BadOption, match=next(iter(wrong))):
        Options(tmp_path, **wrong)


def test_the_command_ends_with_one_line_where_it_cannot(tmp_path) -> None:
    command = [
        sys.executable,
        "-m",
        "baselines.reward_classifier",
        "--buffer",
        str(tmp_path),
        "--out",
        str(tmp_path / "no" / "r.npz"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: bad out")
    assert "a folder that is there" in done.stderr
    assert "Traceback" not in done.stderr
