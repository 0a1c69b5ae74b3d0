"""An operator's hand at a robot elsewhere: its actions replace the policy's while they are fresh, and no longer."""

from __future__ import annotations

import json
import time
from threading import Event, Thread

import gymnasium
import numpy as np
import pytest
from fleet import TIMEOUT, Fleet, wait

from user_gym.core import RobotState, TeleopOrder
from user_gym.errors import BadAction, BadBlock, BadOption, NotAdmitted
from user_gym.system import ChunkBuilder
from user_gym.system.link.edge.hand import RemoteHand
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.identity.roster import OPERATOR
from user_gym.system.link.take_over import TakeOver
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message
from user_gym.system.link.wire.orders import Hand, Seen, hand_message, read_hand, read_seen, seen_message
from user_gym.wrappers import Intervention


def state(number=0.0):
    joints, six = np.full(7, number), np.full(6, number)
    return RobotState(np.float64(number), joints, joints, joints, six, six, six, np.float64(0.5))


class StatelyEnv(gymnasium.Env):
    """An env with a state; its steps last what the test says."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    state = state()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        self.state = state(float(self.steps))
        return np.zeros(1, np.float32), 0.0, False, False, {}


class ScriptedHand:
    """Orders what it was told to, and keeps the states that it saw."""

    def __init__(self, action=(0.5, -0.5), active=True):
        self.order = TeleopOrder(np.array(action, np.float32), active)
        self.seen, self.resets = [], 0

    def connect(self):
        pass

    def reset(self):
        self.resets += 1

    def read(self, state):
        self.seen.append(float(state.time))
        order, self.order = self.order, self.order._replace(success=None, terminate=False)
        return order

    def close(self):
        pass


class Site:
    """A hub, an edge with a robot that a test steps, and what an operator can do."""

    def __init__(self, path, lasting=5.0, **network):
        self.folder = HubFolder(path / "hub")
        self.bundle = self.folder.enroll("e1", "127.0.0.1:1")
        self.fleet = Fleet(path, {"folder": self.folder}, **network)
        self.hand = RemoteHand("e1/arm", 2, lasting)
        self.env = Intervention(StatelyEnv(), self.hand)
        self.builder = ChunkBuilder("e1/arm", "", "")

    def __enter__(self):
        self.fleet.__enter__()
        self.fleet.begin_edge("e1", ("arm",), bundle=self.bundle, hands=[self.hand])
        self.env.reset(seed=0)
        return self

    def __exit__(self, *error):
        self.fleet.__exit__()

    def boss(self, name="boss", **options):
        return self.folder.enroll(name, self.fleet.relay.address, role=OPERATOR, **options)

    def step(self):
        """The policy orders 0."""
        return self.env.step(np.zeros(2, np.float32))[-1]

    def noted(self, what):
        rows = [json.loads(line) for line in (self.folder.path / "audit.jsonl").read_text().splitlines()]
        return [row for row in rows if row["what"] == what]


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path) as made:
        yield made


class Taking:
    """A take-over on a thread of its own."""

    def __init__(self, site, teleop, bundle):
        self.stop, self.said, self.teleop = Event(), [], teleop
        self.taken = TakeOver(None, bundle, "e1", "arm").__enter__()
        self.thread = Thread(target=lambda: self.said.append(self.taken.run(teleop, self.stop)))
        self.thread.start()

    def end(self):
        self.stop.set()
        self.thread.join(TIMEOUT)
        self.taken.__exit__()


@pytest.fixture
def taking(site):
    made = []

    def begin(teleop, bundle=None):
        made.append(Taking(site, teleop, bundle or site.boss(f"boss{len(made)}")))
        return made[-1]

    yield begin
    for one in made:
        one.end()


def acting(site):
    """Step until the operator's order is used; the info of that step."""
    found = []

    def stepped():
        found[:] = [info] if (info := site.step())["is_intervention"] else []
        return found

    wait(stepped)
    return found[0]


def test_the_hand_of_an_operator_replaces_the_policys_actions_and_lets_go_at_once(site, taking):
    assert not site.step()["is_intervention"]
    one = taking(ScriptedHand())
    assert one.taken.actions == 2
    info = acting(site)
    assert info["intervene_action"].tolist() == [0.5, -0.5]
    assert info["intervention_source"] == "operator"
    assert one.teleop.seen[0] == 1.0  # the state of the robot that it moves
    one.end()
    wait(lambda: not site.hand.by)
    assert not site.step()["is_intervention"]
    assert site.noted("took over")[0] | {"time": 0} == {"time": 0, "what": "took over", "who": "boss0", "source": "e1/arm"}
    assert site.noted("let go")[0]["active"] >= 1


def test_a_verdict_is_heard_once_and_an_episode_begins_for_the_hand_too(site, taking):
    teleop = ScriptedHand()
    taking(teleop)
    acting(site)
    before = teleop.resets
    teleop.order = teleop.order._replace(success=True)
    infos = []
    wait(lambda: infos.append(site.step()) or infos[-1].get("reward_source") == "human")
    assert infos[-1]["is_success"] is True
    site.env.reset()
    later = [site.step() for _ in range(20)]
    assert not any(info.get("reward_source") == "human" for info in later)
    wait(lambda: site.step() and teleop.resets == before + 1)


def test_orders_that_answer_to_an_old_state_do_not_count():
    clock = [0]
    hand = RemoteHand("e1/arm", 2, 0.5, lambda: clock[0])
    shown = []
    assert hand.take("boss", shown.append) == ""
    assert not hand.read(state()).active
    order = TeleopOrder(np.full(2, 0.5, np.float32), True, True)
    hand.hear(hand_message(Hand("e1/arm", read_seen(shown[0]).moment, order)))
    clock[0] = int(0.5e9)
    assert hand.read(state()).active
    clock[0] += 1
    late = hand.read(state())
    assert not late.active
    assert hand.late == 1
    hand.hear(hand_message(Hand("e1/arm", 10**18, order)))  # a moment that has not been
    assert not hand.read(state()).active
    hand.let_go()
    hand.hear(hand_message(Hand("e1/arm", clock[0], order)))
    assert not hand.read(state()).active
    assert len(shown) == 4  # nobody is shown anything once it is let go


def test_an_edge_that_loses_its_hub_lets_go_at_once(site, taking):
    one = taking(ScriptedHand())
    acting(site)
    site.fleet.relay.reset()
    wait(lambda: not site.hand.by)
    assert not site.step()["is_intervention"]
    wait(lambda: one.said)
    assert one.said[0]


def test_a_robot_has_one_hand_at_a_time_and_the_next_one_gets_it_when_it_is_free(site, taking):
    first = taking(ScriptedHand())
    with pytest.raises(BadOption, match="'boss0' has e1/arm already"):
        taking(ScriptedHand(), site.boss("other"))
    first.end()
    wait(lambda: not site.hand.by)
    taking(ScriptedHand((1, 1)), site.boss("third"))
    assert acting(site)["intervene_action"].tolist() == [1, 1]


def test_an_operator_has_only_robots_of_the_edges_that_its_bundle_names(site, taking):
    with pytest.raises(BadOption, match="'few' may take over robots of e7; not of 'e1'"):
        taking(ScriptedHand(), site.boss("few", edges=["e7"]))
    assert site.noted("denied")[0]["source"] == "e1/arm"
    taking(ScriptedHand(), site.boss("one", edges=["e1"]))
    acting(site)


def test_an_edge_has_no_hand_at_anothers_robot(site, taking):
    with pytest.raises(NotAdmitted, match="'e5' is no operator"):
        taking(ScriptedHand(), site.folder.enroll("e5", site.fleet.relay.address))
    # One that orders all the same, over its own connection, while an operator has the robot and does nothing.
    boss = taking(ScriptedHand(active=False))
    edge = site.fleet.begin_edge("e2", ("arm",), bundle=site.folder.enroll("e2", "127.0.0.1:1"))
    hand = Hand("e1/arm", time.monotonic_ns(), ScriptedHand().order)
    edge._loop.soon(edge._visit.connection.send, hand_message(hand))
    wait(lambda: site.noted("broke the rules"))
    by_hand = []
    wait(lambda: by_hand.append(site.step()["is_intervention"]) or len(boss.teleop.seen) > 30)
    assert not any(by_hand)
    boss.end()
    wait(lambda: site.noted("let go"))
    assert site.noted("let go")[0]["active"] == 0  # of all orders that went on to the robot


@pytest.mark.parametrize(("edge", "robot", "words"), [("e9", "arm", "unknown edge 'e9'"), ("e1", "leg", "allowed: e1/arm")])
def test_who_asks_for_a_robot_that_is_not_there_hears_which_ones_are(site, edge, robot, words):
    with pytest.raises(BadOption, match=words):
        TakeOver(None, site.boss(), edge, robot).__enter__()


def test_an_edge_may_keep_its_robots_to_itself(tmp_path):
    with Site(tmp_path, lasting=0.0) as site, pytest.raises(BadOption, match="nobody takes over e1/arm"):
        TakeOver(None, site.boss(), "e1", "arm").__enter__()


def test_a_hand_with_other_axes_than_the_robots_is_an_error_here(site):
    with TakeOver(None, site.boss(), "e1", "arm") as taken:
        site.step()
        with pytest.raises(BadAction, match=r"shape \(3,\); allowed: \(2,\)"):
            taken.run(ScriptedHand((1, 1, 1)), Event())


def test_the_stop_of_a_hand_stops_the_edge(tmp_path):
    told = []
    with Site(tmp_path) as site:
        site.fleet.end_edge("e1")
        site.fleet.begin_edge("e1", ("arm",), bundle=site.bundle, hands=[site.hand], stop=told.append)
        with TakeOver(None, site.boss(), "e1", "arm") as taken:
            taken.stop()
            wait(lambda: told)
    assert told == ["boss"]


def test_states_and_orders_say_the_same_at_both_ends():
    shown = read_seen(seen_message(Seen("e1/arm", 5, 2, state(3.0))))
    assert (shown.source, shown.moment, shown.episode) == ("e1/arm", 5, 2)
    assert all(np.array_equal(getattr(shown.state, name), getattr(state(3.0), name)) for name in ("q", "tcp", "time"))
    order = TeleopOrder(np.ones(2, np.float32), True, False, True, False)
    heard = read_hand(hand_message(Hand("e1/arm", 9, order)))
    assert heard.moment == 9
    assert heard.order[1:5] == order[1:5]


@pytest.mark.parametrize(
    "action", [np.full(2, np.nan, np.float32), np.full(2, 1.5, np.float32), np.ones((2, 2), np.float32), np.ones(2)]
)
def test_an_action_that_is_none_is_refused(action):
    said = {"source": "e1/arm", "moment": 0, "active": True, "success": None, "terminate": False, "rerecord": False}
    with pytest.raises(BadBlock):
        read_hand(Message(Kind.HAND, said, {"action": action}))
