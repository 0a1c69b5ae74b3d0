"""An edge and its host from their opening to their end, and a stop that meets trouble on its way."""

from __future__ import annotations

import pytest
from fleet import TIMEOUT

from user_gym.errors import Closed
from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.hub import Hub
from user_gym.system.link.remote.host import Host


class Broken(Host):
    """Cannot stop what it serves."""

    def stop(self, by):
        raise OSError("no bell")


def test_what_cannot_be_stopped_does_not_keep_the_rest_from_holding_and_the_operator_hears_of_it(tmp_path):
    told: list[str] = []
    with (
        Hub() as hub,
        Spool.open(tmp_path, durability="kill") as spool,
        Broken({}) as host,
        Edge(f"127.0.0.1:{hub.port}", spool, name="e1", robots=("arm",), host=host, stop=told.append) as edge,
    ):
        edge.wait(TIMEOUT)
        assert hub.stop(by="boss") == {"e1": "NOT stopped: no bell"}
        assert told == ["boss"]


def test_an_edge_is_opened_once(tmp_path):
    with Spool.open(tmp_path, durability="kill") as spool:
        edge = Edge("127.0.0.1:1", spool, name="e1")
        with edge, pytest.raises(Closed, match="make a new one"):
            edge.open()
        with pytest.raises(Closed, match="make a new one"):
            edge.open()
        edge.close()


def test_a_host_is_opened_once():
    host = Host({})
    with host, pytest.raises(Closed, match="make a new one"):
        host.open()
    with pytest.raises(Closed, match="make a new one"):
        host.open()
    host.close()
