"""A run that somebody else than the rule rewards: who gave each reward, what late verdicts do, and who evaluates."""

import http.client
import json
import threading
import time

import numpy as np
import pytest
import torch

from baselines import online, rlpd
from baselines.config import Config
from baselines.experience import DEMOS, OWN, mixture
from baselines.networks import Encoder
from baselines.play import Play, play
from baselines.reward_classifier import sight
from baselines.rewards import asks_a_person, judged, parse
from user_gym.errors import BadOption, Busy, WrongRun
from user_gym.rewards import Network, VerdictPage
from user_gym.system import Buffer, ChunkBuilder
from user_gym.system.verdicts import Verdicts

TINY = {
    "steps": 40, "learning_starts": 10, "eval_every": 20, "eval_episodes": 2, "demos": 1, "batch_size": 8, "hidden": 8,
    "film": False,
}  # fmt: skip
HEIGHT = 2  # entry of the state


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(online, "GLANCE", 1)


def network(below, width=19):
    """Success where the height is below so many units."""
    first = np.zeros((1, width, 2), np.float32)
    first[0, HEIGHT] = 1, -1
    second = np.array([[[-50.0], [50.0]]], np.float32)  # of max(0, x), max(0, -x): -50 x
    return Network(
        np.zeros(width, np.float32), np.ones(width, np.float32), (first, second),
        (np.zeros((1, 1, 2), np.float32), np.full((1, 1, 1), 50.0 * below, np.float32)), 0.5,
    )  # fmt: skip


def sources(folder, where):
    with Buffer.open(folder / "buffer", read_only=True) as buffer:
        return set(buffer.steps(buffer.view(where).numbers(), ("reward_source",))["reward_source"].tolist())


def test_a_classifier_alone_rewards_steps_and_demonstrations_and_the_rule_evaluates(tmp_path) -> None:
    file, folder = tmp_path / "high.npz", tmp_path / "run"
    network(below=4.5).save(file)  # 9 cm over the goal: every hand gets there soon, and the rule calls none of it success
    summary = rlpd.main(Config(**TINY, reward=f"classifier:{file}", run_dir=folder))
    assert summary is not None
    assert sources(folder, OWN) == sources(folder, DEMOS) == {"classifier"}
    with Buffer.open(folder / "buffer", read_only=True) as buffer:
        demo = buffer.read(buffer.view(DEMOS).numbers())
    assert demo.reward.tolist() == [*[0.0] * (len(demo.reward) - 1), 1.0]
    assert demo.next_obs["state"][-1, HEIGHT] < 4.5
    assert demo.next_obs["state"][-1, HEIGHT] > 3
    assert summary["success_rate"] == 0
    assert json.loads((folder / "config.json").read_text())["reward"] == f"classifier:{file}"


def test_a_classifier_alone_rewards_several_bodies_of_one_policy(tmp_path) -> None:
    file, folder = tmp_path / "high.npz", tmp_path / "run"
    network(below=4.5, width=21).save(file)  # it sees what the policy does: the state, and the token behind it
    config = Config(**TINY | {"steps": 80}, robot="franka-fr3,arx-x5", reward=f"classifier:{file}", run_dir=folder)
    summary = rlpd.main(config)
    assert summary is not None
    for robot in ("franka-fr3", "arx-x5"):
        mine = f"robot = '{robot}' AND "
        assert sources(folder, mine + OWN) == sources(folder, mine + DEMOS) == {"classifier"}
    assert summary["success_rate"] == 0  # by the rule
    with Buffer.open(folder / "buffer", read_only=True) as buffer:
        assert len(buffer.view(f"{OWN} AND success")) > 0


def test_a_classifier_of_pictures_rewards_runs_from_pictures_and_no_others(tmp_path) -> None:
    file, folder = tmp_path / "seen.npz", tmp_path / "run"
    encoder = Encoder({"wrist": (64, 64), "side": (64, 64)})
    seen = sight(encoder, dict.fromkeys(encoder.cameras, (64, 64)))
    zero = np.zeros((1, 19 + seen.size, 2), np.float32)
    biases = np.zeros((1, 1, 2), np.float32), np.full((1, 1, 1), 9.0, np.float32)
    flat = np.zeros(19, np.float32), np.ones(19, np.float32)
    Network(*flat, (zero, np.zeros((1, 2, 1), np.float32)), biases, 0.5, sights=(seen,)).save(file)  # success, always
    few = TINY | {"steps": 8, "learning_starts": 4, "eval_every": 8, "batch_size": 4, "eval_episodes": 1}
    assert rlpd.main(Config(**few, obs="pixels", reward=f"classifier:{file}", run_dir=folder)) is not None
    assert sources(folder, OWN) == sources(folder, DEMOS) == {"classifier"}
    with Buffer.open(folder / "buffer", read_only=True) as buffer:
        assert len(buffer.view(f"{OWN} AND terminated")) == 8
    for changes, word in (({"side": 32}, r"\(32, 32, 3\)"), ({"obs": "state"}, r"\['state'\]")):
        chosen = few | {"obs": "pixels"} | changes
        with pytest.raises(BadOption, match=rf"{word}.*\(64, 64, 3\).*--obs pixels"):
            rlpd.main(Config(**chosen, reward=f"classifier:{file}", run_dir=tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_classifier_of_one_body_alone_is_refused_for_several(tmp_path) -> None:
    file = tmp_path / "alone.npz"
    network(below=4.5).save(file)
    with pytest.raises(BadOption, match=r"\(21,\).*\(19,\)"):
        rlpd.main(Config(**TINY, robot="franka-fr3,arx-x5", reward=f"classifier:{file}", run_dir=tmp_path / "run"))


def test_a_person_ends_episodes_of_a_run_through_the_page(tmp_path, capsys, monkeypatch) -> None:
    stop, pressed = threading.Event(), []
    opened = VerdictPage.open

    def press(url):
        host, port = url.removeprefix("http://").split(":")
        while not stop.wait(0.005):
            connection = http.client.HTTPConnection(host, int(port), timeout=5)
            try:
                connection.request("POST", "/success")
                pressed.append(connection.getresponse().status)
            except OSError:  # the run is over
                return
            finally:
                connection.close()

    def opening(page):
        opened(page)
        thread.append(threading.Thread(target=press, args=(page.url,)))
        thread[0].start()

    thread: list[threading.Thread] = []
    monkeypatch.setattr(VerdictPage, "open", opening)
    try:
        assert rlpd.main(Config(**TINY, reward="human:0,rule", run_dir=tmp_path / "run")) is not None
    finally:
        stop.set()
        thread[0].join(10)
    assert 200 in pressed
    assert "verdicts: http://127.0.0.1:" in capsys.readouterr().out
    assert sources(tmp_path / "run", DEMOS) == {"rule"}  # nobody is asked about those
    assert "human" in sources(tmp_path / "run", OWN)
    assert play(Play(tmp_path / "run", episodes=1)).length > 0  # where nobody is asked
    with Buffer.open(tmp_path / "run" / "buffer", read_only=True) as buffer:
        said = buffer.view(f"{OWN} AND reward_source = 'human'")
        assert (said.read(said.numbers()).reward == 1).all()
        assert len(said) == len(said.view("terminated"))


def test_a_run_learns_from_a_late_verdict(tmp_path) -> None:
    config = Config(**TINY, reward="human:0")
    with Buffer.open(tmp_path / "buffer") as buffer:
        builder = ChunkBuilder("collector-0", "r", "t", max_seconds=1e6)
        builder.start({"state": np.zeros(2, np.float32)}, 0)
        chunk = None
        for step in range(4):
            state = {"state": np.zeros(2, np.float32)}
            chunk = builder.add(np.zeros(1, np.float32), 0.0, False, step == 3, {"reward_source": "human"}, state, 0)
        assert chunk is not None
        buffer.append(chunk)
        draw, rng = mixture(buffer, None, config), np.random.default_rng(0)
        assert draw(buffer, rng).reward.sum() == 0
        with Verdicts(buffer) as verdicts:
            verdicts.tell(0, True)
            due = time.monotonic() + 10
            while not draw(buffer, rng).reward.any() and time.monotonic() < due:
                time.sleep(0.01)
        batch = mixture(buffer, None, config)(buffer, rng)
        assert {*batch.reward.tolist()} == {0.0, 1.0}
        assert np.array_equal(batch.reward == 1, batch.terminated)
        assert mixture(buffer, None, Config(**TINY))(buffer, rng).reward.sum() == 0  # nobody was asked: as it was stored


def test_what_the_rule_rewards_is_stepped_as_it_is() -> None:
    env = object()
    with judged(env, "rule", None, 0) as same:  # pyright: ignore[reportArgumentType]
        assert same is env


def test_names_of_judges() -> None:
    assert parse("human:80,classifier:a/b.npz+rule") == ((("human", "80"),), (("classifier", "a/b.npz"), ("rule", "")))
    assert asks_a_person("human:keyboard, rule")
    assert not asks_a_person("classifier:human:1")


@pytest.mark.parametrize(
    "text", ["", "rules", "rule:", "classifier", "classifier:", "human", "human:", "human:99999", "human:-1", "rule,,rule", "+",
             "human:0,human:keyboard", "human:" + 5000 * "9"],
)  # fmt: skip
def test_a_judge_that_nobody_knows_is_refused(text) -> None:
    with pytest.raises(BadOption, match="reward"):
        Config(reward=text)


@pytest.mark.parametrize("text", ["rule,human:8090", "classifier:a.npz,rule", "human:0+rule,rule", "human:0,rule,classifier:a"])
def test_a_judge_after_one_that_always_has_a_verdict_is_refused(text) -> None:
    with pytest.raises(BadOption, match=r"never counts.*put the person first"):
        Config(reward=text)


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(WrongRun, match=r"none\.npz"):
        rlpd.main(Config(**TINY, reward=f"classifier:{tmp_path / 'none.npz'}", run_dir=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_classifier_of_another_state_leaves_no_folder(tmp_path) -> None:
    file = tmp_path / "narrow.npz"
    made = network(below=1.0)
    Network(made.mean[:4], made.scale[:4], (made.weights[0][:, :4], made.weights[1]), made.biases, 0.5).save(file)
    with pytest.raises(BadOption, match=r"\(19,\).*\(4,\)"):
        rlpd.main(Config(**TINY, reward=f"human:0,classifier:{file}", run_dir=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_neither_a_port_nor_the_way_to_a_file_makes_another_run(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    here, there = "human:80, classifier:a.npz+rule", f"human:0,classifier:{tmp_path.resolve() / 'a.npz'}+rule"
    assert Config(reward=here).identity == Config(reward=there).identity
    others = [
        Config(reward=text).identity["reward"] for text in (here, "rule", "human:keyboard", "human:0", "classifier:b.npz")
    ]
    assert len({*others}) == len(others)


def test_a_port_that_is_taken_is_named(tmp_path) -> None:
    class Nobody:
        episode = -1

        def tell(self, success, episode=None):
            return 0

    with VerdictPage(Nobody()) as page:
        port = page.url.rpartition(":")[2]
        with pytest.raises(Busy, match=port):
            rlpd.main(Config(**TINY, reward=f"human:{port},rule", run_dir=tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []  # it is told of before anything is demonstrated
