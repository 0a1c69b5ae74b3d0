"""A learner keeps its agent where there is something new to keep, and learns on where there is no room."""

import pytest

from user_gym.errors import NoSpace
from user_gym.system.checkpoints import Checkpoints, Reached
from user_gym.system.processes.learning import _Keeper
from user_gym.system.processes.link import Report


@pytest.fixture
def written():
    return []


@pytest.fixture
def keeper(tmp_path, written):
    """Makes one after this checkpoint; it notes each time that the agent is written."""

    def write(path):
        written.append(path.name)
        path.write_text("agent")

    return lambda kept=None: _Keeper(Checkpoints(tmp_path), write, 30.0, Report(), kept)


def test_an_agent_without_new_updates_is_not_kept_again(keeper, written):
    one = keeper()
    for updates, version in ((0, 0), (0, 1), (3, 2), (3, 2)):
        one.save(Reached(updates, version))
    assert written == ["agent-1.tmp", "agent-2.tmp"]
    keeper(Reached(3, 2)).save(Reached(3, 4))  # of the process that follows
    assert len(written) == 2


def test_what_found_no_room_is_kept_the_next_time(keeper, written, tmp_path):
    one = keeper()
    (tmp_path / "newest.json.tmp").symlink_to("/dev/full")
    one.save(Reached(3, 2))
    (tmp_path / "newest.json.tmp").symlink_to("/dev/full")
    with pytest.raises(NoSpace):
        one.keep(Reached(3, 2))
    one.keep(Reached(3, 2))
    assert len(written) == 3
    assert Checkpoints(tmp_path).restore(lambda path: None) == Reached(3, 2)
