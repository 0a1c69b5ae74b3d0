"""What comes into memory by itself lets batches pass, and comes all the same."""

import pytest
from stores import block

from user_gym.system import Buffer
from user_gym.system.buffer import keeping
from user_gym.system.buffer.gate import Gate


class Watched(Gate):
    """One call is inside until it was looked for so many times."""

    def __init__(self, looks):
        super().__init__("a buffer")
        self.looks = looks

    @property
    def is_empty(self):
        self.looks -= 1
        return self.looks < 0


@pytest.fixture
def buffer(tmp_path):
    with Buffer.open(tmp_path) as opened:
        opened.extend([block(number) for number in range(40)])
    with Buffer.open(tmp_path) as opened:
        opened._keeping.close()
        yield opened


def loaded(buffer, gate):
    """Where the gate stood when each part was loaded."""
    parts, own = [], keeping.Keeping(buffer._lookup, buffer._fetch, buffer._reader, buffer._shunning, gate)
    load = own._load_part

    def part():
        parts.append(gate.looks)
        return load()

    own._load_part = part
    own.load()
    own.thread.join(30) if own.thread else None
    return parts


def test_a_part_waits_until_nobody_is_inside(buffer, monkeypatch):
    monkeypatch.setattr(keeping, "_LET_PASS", 3600)
    assert loaded(buffer, Watched(5))[0] == -1
    assert buffer._reader.end == len(buffer)


def test_callers_that_never_leave_do_not_keep_it_waiting_for_ever(buffer, monkeypatch):
    monkeypatch.setattr(keeping, "_LET_PASS", 0.002)
    assert all(looks > 0 for looks in loaded(buffer, Watched(1 << 60)))
    assert buffer._reader.end == len(buffer)
