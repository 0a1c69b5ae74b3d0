"""Kill -9 at random moments, with readers beside it and compaction under way: see benchmarks/kill_buffer.py for 200 of them."""

import pytest

from benchmarks.kill_buffer import trial


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["kill", "power"])
def test_no_death_loses_or_damages_what_was_acknowledged(tmp_path, durability):
    tally = trial(tmp_path / "store", kills=8, seed=7, durability=durability)
    assert tally.clean, tally
    assert tally.kills == 8
    assert tally.acknowledged > 8
