"""Trees of values as blocks of bytes, and words that are no form."""

from __future__ import annotations

import contextlib
import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_gym.errors import BadBlock, BadOption
from user_gym.system.link.remote.asks import Reader, Writer, fresh
from user_gym.system.link.remote.form import Form
from user_gym.testing.compare import assert_same

TREE = {
    "obs": {"state": np.arange(7, dtype=np.float32), "wrist": np.full((4, 5, 3), 9, np.uint8), "empty": np.zeros((0, 3))},
    "reward": 1.5,
    "over": (False, True),
    "info": {"time": np.float64(0.25), "steps": 3, "who": "e1", "none": None, "list": [1, 2.5, "a"], "is_success": True},
}


def there_and_back(tree):
    form = Form.of(tree)
    block = fresh(form.nbytes)
    assert form.write(tree, block)
    return Form.parse(json.loads(json.dumps(form.words))).read(block, copy=True)


def test_a_tree_comes_back_with_its_types_and_every_bit():
    back = there_and_back(TREE)
    assert_same(TREE, back)
    assert type(back["info"]["time"]) is np.float64
    assert type(back["over"]) is tuple
    assert back["info"]["is_success"] is True
    assert list(back) == list(TREE)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["obs"].update(state=np.zeros(7, np.float64)),
        lambda t: t["obs"].update(state=np.zeros(8, np.float32)),
        lambda t: t["info"].update(who="e2"),
        lambda t: t["info"].update(fault="x"),
        lambda t: t["info"].update(steps=True),
        lambda t: t.update(reward=1),
        lambda t: t["info"]["list"].append(1),
        lambda t: t["info"].update(time=np.zeros(())),
        lambda t: t.update(over=[False, True]),
        lambda t: t.update(obs=None),
    ],
)
def test_another_form_is_noticed(change):
    form, other = Form.of(TREE), copy.deepcopy(TREE)
    change(other)
    assert not form.write(other, fresh(form.nbytes))
    assert_same(other, there_and_back(other))


def test_a_form_is_said_where_it_is_new_and_after_something_may_have_been_lost():
    writer, reader = Writer(), Reader()
    block, words = writer.write(1, {"x": 1.0}, fresh)
    assert reader.read(1, words, block, copy=True) == {"x": 1.0}
    block, words = writer.write(1, {"x": 2.0}, fresh)
    assert words is None
    assert reader.read(1, words, block, copy=True) == {"x": 2.0}
    writer.forget()
    assert writer.write(1, {"x": 3.0}, fresh)[1] is not None
    with pytest.raises(BadBlock, match="whose form was said"):
        reader.read(2, None, block, copy=True)


@pytest.mark.parametrize("tree", [object(), {1: 2}, np.array(["a"]), np.zeros((1,) * 9), 1 << 70, {"x": {1, 2}}])
def test_what_cannot_travel_is_refused_by_name(tree):
    with pytest.raises(BadOption, match="allowed"):
        Form.of(tree)


@pytest.mark.parametrize(
    "words",
    [
        None, [], ["dict"], ["dict", []], ["array", "object", [1]], ["array", "float32", [-1]], ["array", "uint8", [1 << 40]],
        ["array", "uint8", [1 << 31, 1 << 31, 4]], ["array", "uint8", [0, 1 << 62]], ["number", "int8", [1]], ["same", 1],
        ["pickle", "x"], ["tuple", {}], ["array", "uint8", [True]], ["array", "uint8", [1.0]],
    ],
)  # fmt: skip
def test_words_that_are_no_form_are_refused(words):
    with pytest.raises(BadBlock):
        Form.parse(words)


def test_a_deep_or_long_form_is_refused():
    deep = ["float"]
    for _ in range(20):
        deep = ["list", [deep]]
    with pytest.raises(BadBlock, match="depth"):
        Form.parse(deep)
    with pytest.raises(BadBlock, match="leaves"):
        Form.parse(["list", [["float"]] * (1 << 15)])


def test_a_short_block_is_refused():
    form = Form.of(TREE)
    with pytest.raises(BadBlock, match="bytes of a block of values"):
        form.read(fresh(form.nbytes - 1), copy=False)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 1 << 65)
    | st.sampled_from(["dict", "array", "float", "same", "uint8", "list"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(JSON, st.binary(max_size=200))
def test_whatever_comes_is_a_tree_or_refused(words, data):
    with contextlib.suppress(BadBlock):
        Form.parse(words).read(np.frombuffer(data, np.uint8), copy=True)
