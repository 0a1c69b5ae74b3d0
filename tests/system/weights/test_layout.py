"""Where tensors lie, and what is refused."""

import numpy as np
import pytest

from user_gym.errors import BadBlock, BadOption
from user_gym.system.weights.bf16 import BF16
from user_gym.system.weights.layout import Layout


def arrays():
    embedding = np.ones((3, 2), np.float32)
    return {
        "steps": np.array(7),
        "head": embedding,
        "body": np.zeros((2, 2), np.float32),
        "mask": np.ones(3, np.bool_),
        "body.body": embedding,
        "half": np.ones(2, np.float16),
    }


def test_bfloat16_lies_first_without_gaps_and_the_rest_on_lines_of_the_cache():
    layout = Layout.of(arrays() | {"tail": np.zeros(3, np.float32)}, bf16={"body", "tail", "mask", "steps"})
    assert [t.name for t in layout.tensors] == ["body", "tail", "steps", "head", "mask", "half"]
    assert [t.offset for t in layout.tensors] == [0, 8, 64, 128, 192, 256]
    assert layout.places["tail"].dtype == BF16
    assert (layout.narrow, layout.nbytes) == (7, 260)


def test_tied_tensors_have_one_place():
    layout = Layout.of(arrays())
    assert layout.ties == {"body.body": "head"}
    assert layout.places["body.body"] is layout.places["head"]


def test_what_is_said_of_a_layout_makes_the_same_again():
    layout = Layout.of(arrays(), bf16={"body"})
    again = Layout.parse(layout.words)
    assert (again.tensors, again.ties) == (layout.tensors, layout.ties)
    assert again.digest("h") == layout.digest("h")


def test_the_digest_differs_with_names_shapes_dtypes_ties_and_policy():
    parts = arrays()
    different = [
        Layout.of(parts),
        Layout.of(parts, bf16={"body"}),
        Layout.of(parts | {"body": np.zeros((4, 1), np.float32)}),
        Layout.of(parts | {"body.body": parts["head"].copy()}),
        Layout.of({f"{name}_": array for name, array in parts.items()}),
    ]
    digests = {layout.digest("h") for layout in different} | {different[0].digest("g")}
    assert len(digests) == 6


def test_a_dtype_without_a_fixed_size_is_refused():
    for array in (np.array(["a"]), np.array([None]), np.zeros(2, "datetime64[s]"), np.zeros(2, np.longdouble)):
        with pytest.raises(BadOption, match=r"dtype of weights 'w'.*bfloat16"):
            Layout.of({"w": array})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda a: a.pop("body"), "'body' among them"),
        (lambda a: a.update(more=np.ones(1)), "more"),
        (lambda a: a.update(body=np.zeros((4, 1), np.float32)), "'body'"),
        (lambda a: a.update(body=np.zeros((2, 2))), "'body'"),
        (lambda a: a.update(head=a["head"].copy()), "tied"),
    ],
)
def test_other_arrays_than_the_first_ones_are_refused(change, named):
    parts = arrays()
    layout = Layout.of(parts)
    layout.require(parts)
    change(parts)
    with pytest.raises(BadOption, match=named):
        layout.require(parts)


def test_some_of_the_arrays_are_enough_where_that_was_asked_for():
    parts = arrays()
    layout = Layout.of(parts)
    layout.require({"body": parts["body"]}, partial=True)
    with pytest.raises(BadOption, match="come together"):
        layout.require({"body.body": parts["head"]}, partial=True)


@pytest.mark.parametrize(
    "words",
    [
        None, [], {}, {"tensors": [], "ties": []}, {"tensors": [["a", "float32", [2]]]},
        {"tensors": [["a", "f", [2]]], "ties": {}},
        {"tensors": [["a", "float32", [-2]]], "ties": {}}, {"tensors": [["a", "float32", [2.0]]], "ties": {}},
        {"tensors": [["a", "float32", [True]]], "ties": {}}, {"tensors": [[1, "float32", [2]]], "ties": {}},
        {"tensors": [["a", "float32", [2]], ["a", "float32", [2]]], "ties": {}}, {"tensors": [], "ties": {"a": "b"}},
        {"tensors": [["a", "float32", [2]]], "ties": {"a": "a"}}, {"tensors": [["a", ["float32"], [2]]], "ties": {}},
    ],
)  # fmt: skip
def test_words_that_are_no_layout_are_refused(words):
    with pytest.raises(BadBlock):
        Layout.parse(words)
