"""n-step returns against sums by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import chunk

from user_gym.errors import BadOption
from user_gym.system import Buffer
from user_gym.system.returns import n_step


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["terminated", "truncated", "open"])), min_size=1, max_size=5),
    st.integers(1, 7),
    st.floats(0, 1),
)
def test_each_return_is_the_sum_by_hand(episodes, horizon, discount):
    buffer, steps = Buffer.open(":memory:"), {}
    for episode, (length, ends) in enumerate(episodes):
        over = np.zeros(length, bool)
        over[-1] = True
        c = chunk(length, base=100 * episode + 1, episode=episode, **({} if ends == "open" else {ends: over}))
        buffer.append(c)
        for i in range(length):
            run = [float(r) for r in c.reward[i : i + horizon]]
            terminal = ends == "terminated" and i + horizon >= length
            total = sum(discount**k * r for k, r in enumerate(run))
            steps[run[0]] = total, 0.0 if terminal else discount ** len(run)
    batch = buffer.sample(100, np.random.default_rng(0), horizon)
    made = n_step(batch, discount)
    first = batch.reward if horizon == 1 else batch.reward[:, 0]
    np.testing.assert_allclose(made.discount, [steps[float(r)][1] for r in first], rtol=1e-5, atol=1e-30)
    expected = [steps[float(r)][0] if horizon > 1 else float(r) for r in first]
    np.testing.assert_allclose(made.reward, expected, rtol=1e-5)


@pytest.mark.parametrize("discount", [-0.1, 1.1, float("nan")])
def test_a_discount_out_of_range_is_refused(discount):
    buffer = Buffer.open(":memory:")
    buffer.append(chunk(3))
    with pytest.raises(BadOption, match="discount"):
        n_step(buffer.sample(2, np.random.default_rng(0)), discount)
