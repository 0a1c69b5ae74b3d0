"""Spaces, errors and shared memory on their way."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from gymnasium import spaces as gym_spaces

from user_gym.errors import BadBlock, BadOption, Halted, PeerLost, Reflex, RobotFault, UnknownName
from user_gym.system.link.remote import faults, spaces
from user_gym.system.link.remote.asks import fresh
from user_gym.system.link.remote.form import Form
from user_gym.system.link.remote.memory import Memory


@pytest.mark.parametrize(
    "space",
    [
        gym_spaces.Box(-1, 1, (3,), np.float32),
        gym_spaces.Box(np.array([0.0, -np.inf]), np.array([np.inf, 2.0]), dtype=np.float64),
        gym_spaces.Box(0, 255, (8, 9, 3), np.uint8),
        gym_spaces.Discrete(4, start=-2),
        gym_spaces.MultiDiscrete([3, 4]),
        gym_spaces.MultiBinary([2, 3]),
        gym_spaces.Dict({"a": gym_spaces.Discrete(2), "b": gym_spaces.Tuple([gym_spaces.Box(0, 1, (1,))])}),
    ],
    ids=str,
)
def test_a_space_comes_back_equal(space):
    tree = spaces.described(space)
    form = Form.of(tree)
    block = fresh(form.nbytes)
    form.write(tree, block)
    assert form.nbytes < 1000
    assert spaces.space_of(Form.parse(json.loads(json.dumps(form.words))).read(block, copy=True)) == space


@pytest.mark.parametrize(
    "tree",
    [
        None,
        {"space": "Box"},
        {"space": "Box", "dtype": "object", "shape": [1], "low": np.zeros(()), "high": np.zeros(())},
        {"space": "Box", "dtype": "float32", "shape": [1 << 40], "low": np.zeros(()), "high": np.zeros(())},
        {"space": "Box", "dtype": "float32", "shape": [2], "low": np.zeros(3), "high": np.zeros(())},
        {"space": "Discrete", "n": -1, "start": 0},
        {"space": "Text"},
    ],
    ids=str,
)
def test_what_is_no_space_is_refused(tree):
    with pytest.raises(BadBlock, match="space of an edge"):
        spaces.space_of(tree)


def test_a_space_that_cannot_travel_is_refused():
    with pytest.raises(BadOption, match="allowed: Box"):
        spaces.described(gym_spaces.Text(3))


@pytest.mark.parametrize("error", [Reflex("it hurt"), Halted("boss"), UnknownName("env", "x", ["y"]), BadOption("a", 1, "2")])
def test_an_error_of_our_tree_comes_back_as_itself(error):
    back = faults.heard(json.loads(json.dumps(faults.said(error))))
    assert type(back) is type(error)
    assert str(back) == str(error)


def test_any_other_error_is_a_fault_and_names_itself():
    back = faults.heard(faults.said(ZeroDivisionError("a bug")))
    assert type(back) is RobotFault
    assert "ZeroDivisionError: a bug" in str(back)


@pytest.mark.parametrize("words", [None, ["SystemExit", "x"], ["eval", "1"], {"a": 1}, ["Reflex"], ["Reflex", 3]])
def test_words_that_name_no_error_of_ours_are_a_fault(words):
    assert type(faults.heard(words)) is RobotFault


def test_memory_is_for_its_user_alone_and_cannot_shrink_under_a_reader():
    memory = Memory.create(5000)
    try:
        assert memory.size == 8192
        assert os.fstat(memory.descriptor).st_mode & 0o777 == 0o600
        with pytest.raises(PermissionError):
            os.ftruncate(memory.descriptor, 1)
        reader = Memory.adopt(os.dup(memory.descriptor))
        memory.block[:3] = 7
        assert reader.block[:4].tolist() == [7, 7, 7, 0]
        with pytest.raises(ValueError, match="read-only"):
            reader.block[0] = 1
        reader.close()
    finally:
        memory.close()


def test_memory_that_its_writer_could_shrink_is_refused():
    descriptor = os.memfd_create("test")
    os.fchmod(descriptor, 0o600)
    os.ftruncate(descriptor, 4096)
    with pytest.raises(BadBlock, match="sealed"):
        Memory.adopt(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    read, write = os.pipe()
    os.close(write)
    with pytest.raises(BadBlock, match="shared memory"):
        Memory.adopt(read)


def test_a_fault_says_its_type_first():
    assert faults.told(PeerLost("gone")) == "PeerLost: gone"
