"""Who only reads hears what an index is that cannot be read; who writes makes a new one where that is safe."""

import sqlite3

import pytest
from stores import block, meant, rewards

from user_gym.errors import WrongRun
from user_gym.system import Buffer
from user_gym.system.buffer.connection import connect_writer
from user_gym.system.buffer.store import Store


@pytest.fixture
def folder(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(0)])
    return tmp_path


def refused(folder, says):
    for opened in (Buffer, Store):
        with pytest.raises(WrongRun, match=says):
            opened.open(folder, read_only=True)


@pytest.mark.parametrize("end", ["close", "kill"])
def test_one_whose_making_was_cut_short(tmp_path, end):
    database = connect_writer(tmp_path, durable=False)
    if end == "close":
        database.close()
    refused(tmp_path, "is empty: a kill came while it was made; open it once to write")
    database.close()
    with Store.open(tmp_path) as store:
        store.append([block(0)])
    with Store.open(tmp_path, read_only=True) as store:
        assert rewards(store) == meant((0, 0))


@pytest.mark.parametrize("damage", [b"no database at all, but text" * 9, b"SQLite format 3\0" + bytes(84)])
def test_one_that_is_damaged(folder, damage):
    (folder / "index.sqlite").write_bytes(damage)
    refused(folder, r"index\.sqlite is damaged.*open it once to write")
    with Store.open(folder) as store:
        assert rewards(store) == meant((0, 0))


@pytest.mark.parametrize("pragma", ["user_version = 2", "application_id = 7"])
def test_one_of_another_version_or_program(folder, pragma):
    with sqlite3.connect(folder / "index.sqlite") as database:
        database.execute(f"PRAGMA {pragma}")
    database.close()
    before = (folder / "index.sqlite").read_bytes()
    refused(folder, "no index of this version")
    with pytest.raises(WrongRun, match="no index of this version"):
        Store.open(folder)
    assert (folder / "index.sqlite").read_bytes() == before
