"""What happens in the second act: a burst, then the machine falls asleep and is woken by who needs it."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING

from hybridllm import errors
from hybridllm.cli.demo.run import Course, was_stopped
from hybridllm.cli.demo.surge.traffic import Timetable
from hybridllm.cli.demo.surge.world import MAY_SEE, OWN, World
from hybridllm.cli.demo.tally import Ending

if TYPE_CHECKING:
    from hybridllm import Receipt, Router
    from hybridllm.cli.demo.ask import Ask

_LOOK_S = 0.02


class Phase(StrEnum):
    """What is happening to the machine."""

    CALM = "calm"
    BURST = "burst"
    AFTER = "burst over"
    ASLEEP = "machine asleep"
    AWAKE = "awake again"


class Surge:
    """See `Act`.

    Attributes:
        awake_after_s: From being woken until the router used the machine again; None: it has not.
    """

    def __init__(self, world: World, router: Router, times: Timetable) -> None:
        self._world = world
        self._router = router
        self._times = times
        self.awake_after_s: float | None = None

    async def weather(self, course: Course) -> None:
        """Begin and end the burst, let the machine sleep, and see it come back."""
        times, loop = self._times, asyncio.get_running_loop()
        began_s = loop.time()
        for phase, at_s in ((Phase.BURST, times.burst_s), (Phase.AFTER, times.after_s)):
            await asyncio.sleep(began_s + at_s - loop.time())
            course.phase = phase
        await asyncio.sleep(began_s + times.quiet_s - loop.time())
        self._world.sleep()
        course.phase = Phase.ASLEEP
        try:
            async with asyncio.timeout_at(began_s + times.end_s):
                await self._awake()
        except TimeoutError:
            return
        course.phase = Phase.AWAKE

    def ending(self, ask: Ask, error: errors.HybridLLMError | None, made: Receipt | None) -> Ending:
        """Tell what had to happen from what had not."""
        if error is None:
            return Ending.ANSWERED
        if was_stopped(error):
            return Ending.STOPPED
        no_room = isinstance(error, errors.Overloaded | errors.WarmingUp)
        return Ending.LATER if no_room and ask.residency in MAY_SEE else Ending.UNEXPECTED

    def may_see(self, residency: str | None) -> frozenset[str] | None:
        """Say once more what the policy says, so that the router is not its own witness."""
        return MAY_SEE.get(residency or "")

    async def _awake(self) -> None:
        """Return when the router has woken the machine and uses it again."""
        loop = asyncio.get_running_loop()
        while (woken_at_s := self._world.woken_at_s) is None or self._wakes():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)  # a status is looked at, it calls nobody
        self.awake_after_s = loop.time() - woken_at_s

    def _wakes(self) -> bool:
        return any(
            row.backend == OWN and row.awake_in_s is not None
            for row in self._router.status().backends
        )
