"""Two regions over real sockets in skipped time: `eu` is asked first, `us` stands beside it, healthy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from faults.skipping import leap
from hybridllm import receipt
from hybridllm.testing import LoopClock
from runtime.world import World, world

OTHER_DAY_S = 400.0  # after so long no gate is left, and no failure is remembered


@asynccontextmanager
async def two(*names: str, **options: Any) -> AsyncIterator[World]:
    """`eu`, then `us`, in skipped time."""
    async with world(*(names or ("eu", "us")), clock=LoopClock(), **options) as here:
        yield here


async def served_by(here: World) -> str:
    """Who answers one call."""
    return str(receipt(await here.chat()).attempts[-1].backend)


async def asked_first(here: World) -> str:
    """Whom one call goes to first: who is not gated, and whose breaker is not open."""
    return str(receipt(await here.chat()).attempts[0].backend)


async def left_alone(here: World, *, at_least_s: float, at_most_s: float) -> None:
    """`eu` is not asked for so long, and is asked again after that."""
    asked = here.sent("eu")
    await leap(at_least_s)
    assert await asked_first(here) == "us"
    assert here.sent("eu") == asked
    await leap(at_most_s - at_least_s)
    here["eu"].heal()
    assert await asked_first(here) == "eu"
