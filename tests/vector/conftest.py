"""The toy arms are a backend."""

import pytest

from user_gym.robots import registry


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(registry.BACKENDS, ("franka-fr3", "toy"), "toy_arms:build")
