"""What can be said of NCCL's cap without a GPU: what is refused, and what a communicator would be made with."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="torch comes with the extra 'gpu'")

import torch
from torch import distributed

from user_gym.errors import BadOption, MissingSystem
from user_gym.system.cap import Unit
from user_gym.system.cap.nccl import NcclCopier, check, options


@pytest.mark.parametrize("ctas", [33, 132])
def test_more_programs_than_nccl_has_are_refused(ctas):
    with pytest.raises(BadOption, match=rf"max_ctas {ctas}; allowed: 1 \.\. 32.*PersistentCopier"):
        NcclCopier(levels=(1, ctas))


@pytest.mark.parametrize("ctas", [0, -1, 2.0])
def test_programs_that_are_no_number_of_them_are_refused(ctas):
    with pytest.raises(BadOption, match="max_ctas"):
        check(ctas, {})


@pytest.mark.parametrize("name", ["NCCL_MAX_CTAS", "NCCL_MIN_CTAS"])
def test_an_environment_that_would_lift_the_cap_is_refused(name):
    with pytest.raises(BadOption, match=name):
        check(4, {name: "8"})
    assert check(8, {name: "8"}) == 8


@pytest.mark.parametrize("ctas", [1, 4, 32])
def test_the_cap_goes_into_the_communicators_configuration(ctas, monkeypatch):
    monkeypatch.delenv("NCCL_MAX_CTAS", raising=False)
    monkeypatch.delenv("NCCL_MIN_CTAS", raising=False)
    if not distributed.is_nccl_available():
        made = type("Options", (), {"__init__": lambda self: setattr(self, "config", SimpleNamespace())})
        monkeypatch.setattr(distributed, "ProcessGroupNCCL", SimpleNamespace(Options=made), raising=False)
    made = options(ctas, timedelta(seconds=60))
    assert (made.config.min_ctas, made.config.max_ctas, made._timeout) == (1, ctas, timedelta(seconds=60))


@pytest.mark.skipif(distributed.is_nccl_available() and torch.cuda.is_available(), reason="this machine has NCCL and a GPU")
def test_without_nccl_it_says_so_and_names_another_way():
    copier = NcclCopier(levels=(1, 32))
    assert copier.unit is Unit.MULTIPROCESSORS
    with pytest.raises(MissingSystem, match="GlooCopier"):
        copier.open()
