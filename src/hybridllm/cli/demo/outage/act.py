"""What happens in the first act: a region is killed, and comes back."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING

from hybridllm import errors
from hybridllm.cli.demo.outage.world import KILLED, MAY_SEE, World
from hybridllm.cli.demo.run import Course, was_stopped
from hybridllm.cli.demo.tally import Ending

if TYPE_CHECKING:
    from hybridllm import Receipt
    from hybridllm.cli.demo.ask import Ask

KILLED_AT = 0.4  # of the whole time
REVIVED_AT = 0.75


class Phase(StrEnum):
    """What the world is doing to us."""

    HEALTHY = "all up"
    OUTAGE = "region down"
    RECOVERED = "region back"


class Outage:
    """See `Act`."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def weather(self, course: Course) -> None:
        """Kill a region at its time, and bring it back at its time."""
        await asyncio.sleep(course.seconds * KILLED_AT)
        course.phase = Phase.OUTAGE
        self._world.kill()
        await asyncio.sleep(course.seconds * (REVIVED_AT - KILLED_AT))
        self._world.revive()
        course.phase = Phase.RECOVERED

    def ending(self, ask: Ask, error: errors.HybridLLMError | None, made: Receipt | None) -> Ending:
        """Tell what had to happen from what had not."""
        if isinstance(error, errors.PolicyDenied) and ask.denied:
            return Ending.DENIED
        if was_stopped(error):
            return Ending.STOPPED
        # A stream that lost its backend after the first token cannot be continued by another.
        if isinstance(error, errors.StreamInterrupted) and error.backend == KILLED:
            return Ending.CUT
        return Ending.UNEXPECTED if error is not None or ask.denied else Ending.ANSWERED

    def may_see(self, residency: str | None) -> frozenset[str] | None:
        """Say once more what the policy says, so that the router is not its own witness."""
        return MAY_SEE.get(residency or "")
