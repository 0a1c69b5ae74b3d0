"""Several coroutines of which the first that ends, ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def race(*parts: Coroutine[Any, Any, Any]) -> None:
    """Run all until one returns or raises; the others are cancelled and waited for. Raises what that one raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
