from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from baselines import online, rlpd
from baselines.config import Config
from baselines.episodes import evaluate, make
from baselines.online import frozen
from baselines.rlpd import Rlpd, critic_target
from user_gym.core import Agent, Batch, Policy, Weights
from user_gym.errors import BadOption, MissingSystem, WrongRun
from user_gym.system import Buffer

TINY = {
    "steps": 40, "learning_starts": 10, "eval_every": 20, "eval_episodes": 2, "demos": 1, "batch_size": 8, "hidden": 8,
    "film": False,
}  # fmt: skip
SUMMARY = {
    "success_rate", "eval_episodes", "env_steps", "updates", "wall_s", "train_s", "train_cpu_s", "robot", "seed", "steps_to_95",
    "obs", "env_id", "hole_offset", "asynchronous", "mean_length", "policy", "exploring_success_rate",
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)  # as the baseline does: threads of networks this small only wait for each other


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setattr(online, "GLANCE", 1)
    return Config(**TINY, run_dir=tmp_path / "run")


def spaces(width=3):
    box = gym.spaces.Box(-1, 1, (width,), np.float32)
    return gym.spaces.Dict({"state": box}), gym.spaces.Box(-1, 1, (2,), np.float32)


def batch(n=16, seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    return Batch(
        obs={"state": draw(n, 3)}, next_obs={"state": draw(n, 3)}, action=np.tanh(draw(n, 2)), ordered=np.tanh(draw(n, 2)),
        reward=draw(n),
        terminated=rng.random(n) < 0.3, truncated=np.zeros(n, bool), policy_version=np.zeros(n, np.int64),
        is_intervention=np.zeros(n, bool),
    )  # fmt: skip


def has_egl() -> str | None:
    try:
        env = make(Config(obs="pixels"))
        env.reset(seed=0)
        env.close()
    except MissingSystem as error:
        return str(error)
    return None


def test_a_truncated_step_bootstraps_and_a_terminated_one_does_not():
    reward, value = torch.tensor([0.0, 1.0]), torch.tensor([10.0, 10.0])
    target = critic_target(reward, torch.tensor([False, True]), value, discount=0.5)
    assert target.tolist() == [5.0, 1.0]


def test_whether_a_step_was_truncated_changes_nothing_in_an_update():
    results = []
    for truncated in (False, True):
        agent = Rlpd(*spaces(), Config(hidden=8))
        agent.update(replace(batch(), truncated=np.full(16, truncated)))
        results.append(agent.critic.detach().numpy().copy())
    np.testing.assert_array_equal(*results)
    agent = Rlpd(*spaces(), Config(hidden=8))
    agent.update(replace(batch(), terminated=np.ones(16, bool)))
    assert not np.array_equal(agent.critic.detach().numpy(), results[0])


def test_the_agent_learns_from_what_was_ordered_not_from_what_was_executed():
    one = replace(batch(), terminated=np.ones(16, bool))
    other = np.zeros((16, 2), np.float32)
    critics = []
    for given in (one, replace(one, action=other), replace(one, ordered=other)):
        agent = Rlpd(*spaces(), Config(hidden=8))
        agent.update(given)
        critics.append(agent.critic.detach().numpy().copy())
    np.testing.assert_array_equal(critics[0], critics[1])
    assert not np.array_equal(critics[0], critics[2])


def test_cloning_draws_the_actor_to_what_was_shown_and_not_to_what_was_tried():
    distances = []
    for version, cloning in ((-1, 10.0), (0, 10.0), (-1, 0.0)):
        agent = Rlpd(*spaces(), Config(hidden=16, cloning=cloning, actor_every=1))
        shown = replace(batch(64), policy_version=np.full(64, version), ordered=np.full((64, 2), 0.5, np.float32))
        for _ in range(200):
            agent.update(replace(shown, reward=np.zeros(64, np.float32)))
        action = agent.actor_output(torch.from_numpy(shown.obs["state"])).detach()[:, :2].tanh()
        distances.append(float((action - 0.5).abs().mean()))
    assert distances[0] < 0.1
    assert min(distances[1:]) > 0.3


def test_without_cloning_it_makes_no_difference_which_steps_were_shown():
    actors = []
    for version in (-1, 0):
        agent = Rlpd(*spaces(), Config(hidden=8, actor_every=1))
        agent.update(replace(batch(), policy_version=np.full(16, version)))
        actors.append(agent.actor.detach().numpy().copy())
    np.testing.assert_array_equal(*actors)


def test_the_critics_learn_the_value_of_what_always_ends():
    agent = Rlpd(*spaces(), Config(hidden=32, learning_rate=3e-3))
    one = replace(batch(64), terminated=np.ones(64, bool), reward=np.full(64, 0.7, np.float32))
    for _ in range(300):
        metrics = agent.update(one)
    assert metrics["value"] == pytest.approx(0.7, abs=0.05)


def test_agent_and_policy_keep_the_protocols_of_core():
    agent = Rlpd(*spaces(), Config())
    assert isinstance(agent, Agent)
    assert isinstance(agent.policy, Policy)


def test_the_policy_acts_in_numpy_as_the_network_does_in_torch():
    agent = Rlpd(*spaces(), Config(hidden=16))
    for i in range(20):
        agent.update(batch(seed=i))
    x = np.array([0.3, -1.0, 2.0], np.float32)
    mean = agent.actor_output(torch.from_numpy(x[None])).detach()[0, :2].tanh().numpy()
    np.testing.assert_allclose(frozen(agent).act({"state": x}, deterministic=True).actions[0], mean, atol=1e-5)


def seeing(version, **options):
    """An agent with a camera after an update from steps of that version, without reward."""
    space = gym.spaces.Dict({**spaces()[0].spaces, "cam": gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)})
    agent = Rlpd(space, spaces()[1], Config(hidden=8, **options))
    rng = np.random.default_rng(0)
    pictures = [{"cam": rng.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)} for _ in range(2)]
    one = batch(8)
    obs, after = ({**seen, **shown} for seen, shown in zip((one.obs, one.next_obs), pictures, strict=True))
    one = replace(one, obs=obs, next_obs=after, policy_version=np.full(8, version))
    agent.update(one)
    return agent


def test_what_sees_learns_from_rewards_and_demonstrations_and_not_from_the_actor():
    acting, idle = seeing(-1, actor_every=1), seeing(-1, actor_every=100)
    assert not np.array_equal(acting.actor.detach(), idle.actor.detach())
    name, own = next(item for item in acting.weights().items() if item[0].endswith("weight"))
    np.testing.assert_array_equal(own, idle.weights()[name])
    assert not np.array_equal(own, seeing(0, actor_every=1).weights()[name])  # tried, not shown
    assert "guide" not in acting.weights()


def test_a_restored_agent_that_sees_goes_on_bit_for_bit(tmp_path):
    one, two = seeing(-1), seeing(0)
    one.save(tmp_path / "a.pt")
    two.restore(tmp_path / "a.pt")
    np.testing.assert_array_equal(one.guide.detach(), two.guide.detach())
    for name, value in one.weights().items():
        np.testing.assert_array_equal(value, two.weights()[name])


def test_weights_of_another_network_are_refused_and_the_old_ones_stay():
    agent, other = (Rlpd(*spaces(), Config(hidden=h)) for h in (8, 16))
    with pytest.raises(BadOption, match="spec_hash"):
        agent.policy.load(Weights(3, other.weights(), other.policy.spec_hash))
    assert agent.policy.version == -1


def test_a_restored_agent_goes_on_bit_for_bit(tmp_path):
    one, two = (Rlpd(*spaces(), Config(hidden=8, critics=3)) for _ in range(2))
    one.update(batch(seed=1))
    one.save(tmp_path / "a.pt")
    two.restore(tmp_path / "a.pt")
    for agent in (one, two):
        agent.update(batch(seed=2))
        agent.update(batch(seed=3))
    np.testing.assert_array_equal(one.actor.detach(), two.actor.detach())
    np.testing.assert_array_equal(one.target, two.target)
    for other in (Config(hidden=16, critics=3), Config(hidden=8, critics=2)):
        with pytest.raises(WrongRun, match="another shape"):
            Rlpd(*spaces(), other).restore(tmp_path / "a.pt")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_run_ends_with_a_summary_a_curve_and_logs(tiny, asynchronous, capsys):
    summary = rlpd.main(replace(tiny, asynchronous=asynchronous))
    assert summary is not None
    assert set(summary) == SUMMARY
    assert summary == json.loads((tiny.folder / "summary.json").read_text())
    assert (summary["env_steps"], summary["updates"], summary["eval_episodes"]) == (40, 120, 2)
    assert (tiny.folder / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert list((tiny.folder / "tensorboard").iterdir())
    out = capsys.readouterr().out
    assert all(str(tiny.folder / name) in out for name in ("summary.json", "curve.png", "tensorboard", "buffer"))
    assert rlpd.main(replace(tiny, asynchronous=asynchronous)) == summary  # finished: nothing is trained again
    assert "is finished" in capsys.readouterr().out


@pytest.mark.parametrize(("eval_every", "looks"), [(1000, [40]), (20, [20, 40]), (30, [30, 40])])
def test_the_last_policy_is_looked_at_once_whatever_the_distance_between_looks(tiny, eval_every, looks):
    config = replace(tiny, eval_every=eval_every)
    summary = rlpd.main(config)
    assert summary is not None
    curve = json.loads((config.folder / "state.json").read_text())["curve"]
    assert [point["env_steps"] for point in curve] == looks
    assert curve[-1]["updates"] == 120
    assert summary["exploring_success_rate"] == curve[-1]["success_rate"]


def test_ctrl_c_after_the_last_step_leaves_the_last_updates_and_the_last_look_to_the_next_call(tiny, monkeypatch):
    train = online.train
    monkeypatch.setattr(online, "train", lambda *a, **o: replace(train(*a, **o), interrupted=True))
    assert rlpd.main(replace(tiny, eval_every=1000)) is None
    monkeypatch.setattr(online, "train", train)
    summary = rlpd.main(replace(tiny, eval_every=1000))
    assert summary is not None
    assert (summary["env_steps"], summary["updates"]) == (40, 120)


def test_experience_says_which_task_it_is_of(tiny):
    rlpd.main(tiny)
    with Buffer.open(tiny.folder / "buffer", read_only=True) as buffer:
        demo, own = (buffer.chunk(int(buffer.view(f"kind = '{kind}'").numbers()[0])) for kind in ("demo", "policy"))
        assert len(buffer.view(f"task = 'PegInsert' AND env_id = '{tiny.env_id}' AND robot = 'franka-fr3'")) == len(buffer)
        assert len(buffer.view("kind = 'policy'")) == 40
    assert demo.spec_hash == own.spec_hash != ""


def test_equal_seeds_give_equal_runs(tiny):
    for name in ("a", "b"):
        rlpd.main(replace(tiny, run_dir=tiny.folder / name))
    a, b = (torch.load(tiny.folder / name / "checkpoint-40-120.pt", weights_only=True) for name in ("a", "b"))
    assert torch.equal(a["actor"], b["actor"])


def test_an_interrupted_run_goes_on_with_its_counters_and_experience(tiny, monkeypatch, capsys):
    looks = []

    def interrupted(*arguments, **options):
        looks.append(1)
        if len(looks) == 2:
            raise KeyboardInterrupt
        return evaluate(*arguments, **options)

    monkeypatch.setattr(online, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rlpd.main(replace(tiny, steps=60))
    monkeypatch.setattr(online, "evaluate", evaluate)
    began = []
    train = online.train

    def watched(env, agent, storage, **options):
        began.append((options["start"], agent.updates, len(storage)))
        return train(env, agent, storage, **options)

    monkeypatch.setattr(online, "train", watched)
    summary = rlpd.main(replace(tiny, steps=60))
    start, updates, stored = began[0]
    assert (start.env_steps, start.episodes) == (40, 1)  # all that were stored
    assert start.updates == updates == 40  # those of the checkpoint after 20 steps
    assert stored > 40  # demonstrations as well
    assert summary is not None
    assert (summary["env_steps"], summary["updates"]) == (60, 200)


def test_ctrl_c_in_training_leaves_a_checkpoint_and_no_summary(tiny, monkeypatch, capsys):
    train = online.train

    def stopped(*arguments, **options):
        return replace(train(*arguments, **options | {"steps": 25}), interrupted=True)

    monkeypatch.setattr(online, "train", stopped)
    assert rlpd.main(tiny) is None
    assert "goes on from there" in capsys.readouterr().out
    assert json.loads((tiny.folder / "state.json").read_text())["counters"]["env_steps"] == 25
    assert not (tiny.folder / "summary.json").exists()


def test_the_command_says_what_is_wrong_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "baselines.rlpd", "--robot", "frnka-fr3", "--run-dir", str(tmp_path / "run")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: unknown robot 'frnka-fr3'")
    assert not (tmp_path / "run").exists()


def test_joint_control_learns_without_demonstrations(tiny):
    summary = rlpd.main(replace(tiny, control="joint", demos=0))
    assert summary is not None
    assert summary["env_steps"] == 40


def test_pictures_are_learned_from_and_filmed(tiny, monkeypatch):
    reason = has_egl()
    if reason:
        pytest.skip(reason)
    monkeypatch.setattr(online, "FILMED", 1)
    few = {"steps": 6, "learning_starts": 4, "batch_size": 2, "eval_episodes": 1}
    summary = rlpd.main(replace(tiny, obs="pixels", film=True, **few))
    assert summary is not None
    assert (summary["env_steps"], summary["updates"]) == (6, 8)
    assert (tiny.folder / "film.gif").read_bytes()[:3] == b"GIF"


def test_without_egl_a_run_ends_well_and_says_why_there_is_no_film(tiny, monkeypatch, capsys):
    def blind(config, render_mode=None):
        if render_mode:
            raise MissingSystem("libEGL is missing; install libegl1")
        return make(config)

    monkeypatch.setattr(online, "make", blind)
    assert rlpd.main(replace(tiny, film=True)) is not None
    assert "no film: libEGL is missing; install libegl1" in capsys.readouterr().out
