"""Conditions are asked behind two walls: nothing but the columns of `chunks` can be read, and not for ever."""

import sqlite3

import numpy as np
import pytest
from toy_training import chunk

from user_gym.errors import BadOption, Gone
from user_gym.system import Buffer
from user_gym.system.buffer import query as queries
from user_gym.system.buffer.condition import Condition, parse
from user_gym.system.buffer.connection import connect_reader
from user_gym.system.buffer.expression import Column, Compare
from user_gym.system.buffer.query import Query

EVERYTHING = 1 << 40


@pytest.fixture
def folder(tmp_path):
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer:
        buffer.extend([chunk(3, base=10 * e, episode=e, is_intervention=np.arange(3) == e) for e in range(4)])
        yield buffer._store.folder


@pytest.fixture
def query(folder):
    opened = Query(connect_reader(folder))
    yield opened
    opened.close()


def smuggled(sql):
    """A condition whose SQL is not what the grammar writes."""
    return Condition("smuggled", Compare("=", Column("x", "whole", sql, sql, of_block=True), 1))


@pytest.mark.parametrize(
    "sql",
    [
        "(SELECT count(*) FROM segments)",
        "(SELECT name FROM sources)",
        "(SELECT layout FROM origins)",
        "(SELECT nbytes FROM blocks)",
        "(SELECT sql FROM sqlite_master)",
        "(SELECT user_version FROM pragma_user_version)",
        "abs(chunks.episode)",
        "load_extension('x')",
        "randomblob(1000000000)",
        "chunks.rowid",
    ],
)
def test_nothing_else_can_be_read(query, sql):
    with pytest.raises(sqlite3.DatabaseError, match=r"not authorized|prohibited|no such column"):
        query.certain(smuggled(sql), 0, EVERYTHING)
    assert query.certain(parse("TRUE"), 0, EVERYTHING).first.tolist() == [0, 3, 6, 9]  # and it goes on


def test_the_connection_writes_nothing(query):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        query._database.execute("DELETE FROM blocks")


def test_a_condition_that_takes_too_long_ends(folder):
    query = Query(connect_reader(folder), instructions=200)
    with pytest.raises(BadOption, match="200 instructions"):
        query.certain(parse(" AND ".join(["episode >= 0 OR steps < 0"] * 500)), 0, EVERYTHING)
    assert len(query.certain(parse("success"), 0, EVERYTHING).first) == 0  # each statement counts anew
    query.close()


def test_blocks_come_in_parts_that_leave_none_out(query, monkeypatch):
    monkeypatch.setattr(queries, "_UNDECIDED", 2)
    condition = parse("is_intervention AND robot LIKE 'franka%'")
    parts = list(query.undecided(condition, 0, EVERYTHING))
    assert [part.first.tolist() for part in parts] == [[0, 3], [6]]
    assert parts[0].columns["robot"].tolist() == ["franka-fr3"] * 2
    assert query.certain(condition, 0, EVERYTHING).first.tolist() == []
    assert query.certain(parse("NOT is_intervention"), 0, EVERYTHING).first.tolist() == [9]
    assert query.certain(parse("steps = 3"), 3, 9).first.tolist() == [3, 6]


def test_chunks_and_blocks_are_found_by_key_and_by_number(query):
    assert query.place("a", 2, 0) == (6, 3)
    assert query.place("a", 2, 1) is None
    assert query.place("b", 2, 0) is None
    assert (query.block_at(7), query.end_of(7), query.end_of(10**9)) == ((6, 3), 9, 12)
    with pytest.raises(Gone, match="step 12 "):
        query.block_at(12)
