"""The socket between a client and an edge of one host."""

from __future__ import annotations

import pytest

from user_gym.errors import BadBlock
from user_gym.system.link.remote.pipe import _words


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{", b"[]", b"\xff"])
def test_words_that_are_none_are_refused_in_words(text):
    with pytest.raises(BadBlock, match="words of a message"):
        _words(text)
