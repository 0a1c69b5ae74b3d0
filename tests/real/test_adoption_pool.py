"""An arm that its driver process holds, as a grant of the pool: the lease comes with the driver, and goes back with it."""

import os
import pickle
import subprocess
import sys

import pytest
from adoption_rig import ARM, orphaned, waits
from worker_rig import START

from user_gym.core import Inventory
from user_gym.errors import Busy
from user_gym.robots import lease
from user_gym.robots.pool import Pool


def test_a_grant_of_the_pool_brings_the_driver_along_where_the_arm_is_named(place, heir) -> None:
    pool = Pool(Inventory((ARM,)))
    with orphaned(place) as program:
        with pytest.raises(Busy, match="by its driver process"):
            pool.request(robots=[ARM.model])
        with pool.request(robots=[ARM.id]):
            assert not lease.holder(ARM).waiting
            with pytest.raises(Busy):  # one client, granted or not
                subprocess_takes()
            arm = heir()
            arm.connect()
            arm.reset(START)
            assert arm.pid == program.driver
            arm.close()
        assert lease.holder(ARM) is None


def subprocess_takes():
    """Another process asks for the arm."""
    code = "from adoption_rig import ARM\nfrom user_gym.robots import lease\nlease.take(ARM, adopt=True)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=os.path.dirname(__file__), capture_output=True, text=True, timeout=60, check=False
    )
    if "Busy" in done.stderr:
        raise Busy(done.stderr)


def test_a_grant_that_is_given_back_unused_leaves_the_arm_held(place, heir, diary) -> None:
    with orphaned(place) as program:
        Pool(Inventory((ARM,))).request(robots=[ARM.id]).release()
        waits(program.driver)
        assert diary()[-1] == "hold"
        arm = heir()
        arm.connect()
        assert arm.pid == program.driver


def test_a_lease_with_a_driver_is_handed_to_no_other_process(place) -> None:
    with orphaned(place), lease.take(ARM, adopt=True) as hold, pytest.raises(Busy, match="connect it here"):
        pickle.dumps(hold)
