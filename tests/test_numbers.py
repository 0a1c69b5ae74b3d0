"""Options that are numbers are refused in the same words, whatever is wrong with them."""

import math

import numpy as np
import pytest

from user_gym.core import real, whole
from user_gym.errors import BadOption


@pytest.mark.parametrize("value", [1, np.int64(7)])
def test_a_whole_number_passes_as_an_int(value):
    assert type(whole("n", value, 1)) is int


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3", None, math.nan, [2]])
def test_what_is_no_whole_number_from_there_on_is_refused_by_name(value):
    with pytest.raises(BadOption, match=r"bad n .*1 or more"):
        whole("n", value, 1)


@pytest.mark.parametrize("value", [0.0, 1, np.float32(0.5), math.inf])
def test_a_number_in_the_range_passes_as_a_float(value):
    assert type(real("x", value, 0.0, math.inf, "0 or more")) is float


@pytest.mark.parametrize("value", [-0.1, math.nan, "1", None, True, 1 + 0j])
def test_what_is_no_number_in_the_range_is_refused_by_name(value):
    with pytest.raises(BadOption, match=r"bad x .*0 or more"):
        real("x", value, 0.0, math.inf, "0 or more")
