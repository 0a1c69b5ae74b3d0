"""What an edge that is let in may say and bring: it harms nobody but itself."""

from __future__ import annotations

import json
import tracemalloc

import lz4.block
import numpy as np
import pytest
from fleet import episode, wait
from strangers import Said, Stranger, forged, text_of_layout

from user_gym.system.buffer import Buffer
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.layout import OBS, Layout
from user_gym.system.buffer.prefix import LIGHT_ALIGNMENT, padded
from user_gym.system.link import operator
from user_gym.system.link.hub import BufferStore, Hub
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message

STEPS = 4


@pytest.fixture
def hub(tmp_path):
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer, Hub(store=BufferStore(buffer)) as hub:
        yield hub


def sound(edge="evil", number=0):
    return Encoder().encode(episode(edge, "arm", number, chunks=1, steps=STEPS)[0], follows=False).data


def light_of(block, steps=STEPS, **values):
    """The light region of a block of so many steps: zeros, but for the columns that are given."""
    parts = []
    for key, column in Layout.parse(text_of_layout(block)).light.items():
        rows = steps + (column.of == OBS)
        value = np.asarray(values.get(key.replace(".", "_"), 0)).astype(column.dtype)
        data = np.broadcast_to(value if value.shape else value[None], (rows, *column.shape)[: max(value.ndim, 1)])
        whole = np.zeros((rows, *column.shape), column.dtype)
        whole[...] = data.reshape(rows, *[1] * len(column.shape)) if data.ndim == 1 else data
        parts.append(whole.tobytes() + bytes(padded(whole.nbytes, LIGHT_ALIGNMENT) - whole.nbytes))
    return b"".join(parts)


def layout_with(block, name):
    records = json.loads(text_of_layout(block))
    return [{**record, "name": name if record["of"] == OBS else record["name"]} for record in records]


@pytest.mark.parametrize(
    "text",
    [
        lambda block: json.dumps(layout_with(block, "é"), ensure_ascii=False).encode(),
        lambda block: json.dumps(layout_with(block, "x")).encode("utf-16"),
        lambda block: b"\xff" + text_of_layout(block),
    ],
    ids=["UTF-8", "UTF-16", "neither"],
)
def test_a_layout_in_another_encoding_ends_its_own_connection_alone(hub, text):
    block = sound()
    with Stranger(hub.port) as evil:
        assert not evil.bring(forged(block, layout=text(block)))
    assert hub.failure is None
    with Stranger(hub.port, "good") as good:
        assert good.bring(sound("good"))["stored"] == [["good/arm", 0, 0]]


def test_a_small_block_that_unpacks_to_very_much_is_refused_before_memory_is_taken(hub):
    block, steps = sound(), 3_000_000
    light = lz4.block.compress(light_of(block, steps), store_size=False)
    bomb = forged(block, meta={"reward_source": [["task", steps]]}, light=light, pressed=True, steps=steps)
    assert len(bomb) < 1 << 20
    with Stranger(hub.port) as evil:
        tracemalloc.start()
        try:
            assert not evil.bring(bomb)
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()
    assert hub.failure is None


TIME = np.arange(1.0, STEPS + 1)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"obs_state": np.nan}, "obs.state is not finite"),
        ({"action": np.inf}, "action is not finite"),
        ({"ordered": -np.inf}, "ordered is not finite"),
        ({"reward": np.nan}, "reward, time, wall time or clock offset is not finite"),
        ({"time": TIME[::-1]}, "time does not increase"),
        ({"truncated": np.array([False, True, False, False])}, "ends before its last row"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_steps_that_no_robot_took_are_refused_as_of_a_local_collector(hub, values, why):
    block = sound()
    with Stranger(hub.port) as evil:
        ((key, said),) = evil.bring(forged(block, light=light_of(block, **{"time": TIME, **values})))["refused"]
    assert (key, why in said) == (["evil/arm", 0, 0], True), said


def test_steps_that_a_robot_took_are_stored(hub):
    block = sound()
    with Stranger(hub.port) as one:
        assert one.bring(forged(block, light=light_of(block, time=TIME)))["stored"] == [["evil/arm", 0, 0]]


@pytest.mark.parametrize(
    "text",
    [b'{"x":1e999}', b'{"x":' + b"[" * 900 + b"]" * 900 + b"}", json.dumps({"x": "y" * 60_000}).encode()],
    ids=["infinity", "depth", "size"],
)
def test_whatever_an_edge_says_of_itself_operators_see_all_edges(hub, text):
    robots = {f"r{n}": dict.fromkeys(("env", "model", "task", "form"), "x" * 4000) for n in range(60)}
    with (
        Stranger(hub.port, robots=robots),
        Stranger(hub.port, "two", robots=robots),
        Stranger(hub.port, "three") as evil,
        Stranger(hub.port, "good") as good,
    ):
        evil.send(Said(Kind.BEAT, text))
        good.send(Message(Kind.BEAT, {"disk": "sound"}))
        wait(lambda: {"three", "good"} <= {edge.name for edge in hub.edges() if edge.facts})
        edges = operator.ask(f"127.0.0.1:{hub.port}", None, {"ask": "edges"})["edges"]
    found = {edge["name"]: edge for edge in edges}
    assert found["good"]["facts"] == {"disk": "sound"}
    assert "shown" in found["evil"]["complaint"]
    assert not found["evil"]["machine"]["robots"]


def test_more_edges_than_one_answer_holds_come_in_several(hub):
    from user_gym.cli.hub.operate import ask_edges

    robots = {f"r{n}": dict.fromkeys(("env", "model", "task", "form"), "x" * 4000) for n in range(15)}
    strangers = [Stranger(hub.port, f"e{n}", robots=robots) for n in range(6)]
    for stranger in strangers:
        stranger.__enter__()
    try:
        page = operator.ask(f"127.0.0.1:{hub.port}", None, {"ask": "edges"})
        assert page["more"]
        assert 0 < len(page["edges"]) < 6
        edges = ask_edges(f"127.0.0.1:{hub.port}", None)
        assert [edge["name"] for edge in edges] == [f"e{n}" for n in range(6)]
        assert all(len(edge["machine"]["robots"]) == 15 for edge in edges)
    finally:
        for stranger in strangers:
            stranger.__exit__()


def test_a_robot_whose_name_is_none_is_not_let_in(hub):
    robot = dict.fromkeys(("env", "model", "task", "form"), "")
    with Stranger(hub.port, robots={"\x1b[2J": robot}) as evil:
        assert "name of a robot" in str(evil.ended)


def test_what_edges_say_reaches_a_terminal_as_text():
    from user_gym.cli.table import table

    shown = table(("EDGE", ""), [("a\x1b[2Jb", "c\x9b31m\nd")])
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert "a\\x1b[2Jb" in shown
