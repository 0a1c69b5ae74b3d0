"""The sockets of `user-gym stop`."""

import os
import stat

import pytest

from user_gym.errors import MissingSystem
from user_gym.robots import sockets, stop


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    return tmp_path / "stops"


def listening(name):
    ear = stop.Listener(name)
    ear.open()
    return ear


def test_every_worker_hears_it_and_the_folder_is_the_users_alone(place) -> None:
    ears = [listening("left arm"), listening("right/arm")]
    assert [name.split(".")[0] for name in stop.tell().reached] == ["left-arm", "right-arm"]
    assert [ear.read() for ear in ears] == [stop.STOP, stop.STOP]
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    for ear in ears:
        ear.close()
        ear.close()
    assert stop.tell() == stop.Told((), ())


def test_a_name_picks_some_and_a_message_is_read_once() -> None:
    left, right = listening("left"), listening("right")
    assert len(stop.tell(stop.RELEASE, "left").reached) == 1
    assert left.read() == stop.RELEASE
    assert left.read() is None
    assert right.read() is None
    left.close()
    right.close()


def test_the_socket_of_a_dead_worker_is_removed() -> None:
    ear = listening("dead")
    ear._socket.close()
    told = stop.tell()
    assert told.reached == ()
    assert told.gone[0].startswith("dead")
    assert stop.tell() == stop.Told((), ())


def test_a_stuck_worker_keeps_no_other_from_being_told() -> None:
    """It is the first in line, and its queue is full."""
    stuck, well = listening("a"), listening("b")
    while not stop.tell(name="a.").failed:
        pass
    told = stop.tell()
    assert [name.split(".")[0] for name in told.reached] == ["b"]
    assert told.failed[0].startswith(f"a.{os.getpid()}: ")
    assert well.read() == stop.STOP
    stuck.close()
    well.close()


def test_a_folder_that_others_may_enter_is_refused(place) -> None:
    place.mkdir()
    os.chmod(place, 0o755)
    with pytest.raises(MissingSystem, match="this user alone"):
        stop.tell()


def test_a_link_to_a_folder_is_refused(place, tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MissingSystem, match="this user alone"):
        stop.tell()


def test_the_folder_is_the_same_from_a_desktop_and_from_a_service(monkeypatch) -> None:
    monkeypatch.delenv("USER_GYM_STOPS")
    places = set()
    for runtime, temporary in (("/run/user/1", "/var/tmp"), ("", "")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        monkeypatch.setenv("TMPDIR", temporary)
        places.add(str(sockets.where()))
    assert places == {f"/tmp/user_gym-{os.getuid()}"}


def test_a_folder_whose_path_is_too_long_for_a_socket_is_none(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / ("d" * 120)))
    ear = listening("far")
    assert stop.tell().reached
    assert ear.read() == stop.STOP
    ear.close()
