"""Who says that it is done: the rule, a person, a learned classifier, or several. It knows no environment and no storage."""

from __future__ import annotations

from user_gym.rewards.classifier import Classifier, Network
from user_gym.rewards.combined import FirstVerdict, Sum, rule
from user_gym.rewards.human import Human
from user_gym.rewards.page import VerdictPage

__all__ = ["Classifier", "FirstVerdict", "Human", "Network", "Sum", "VerdictPage", "rule"]
