"""A backend that answers oddly, one oddity after the other, before a healthy one: for the rows' tables.

One router for a whole table, in skipped time; between two entries a day passes, so that no breaker and
no cool-off is left of the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from faults.skipping import leap
from hybridllm import Receipt, RequestFailed, Router, receipt
from hybridllm.testing import LoopClock
from odd_backend import Odd, good
from raw_server import Exchange, RawServer, raw_server, until
from runtime.world import MESSAGES, environ, policy, text_of

DAY_S = 86_400.0


@dataclass
class Told:
    """What the caller of one call saw.

    Attributes:
        text: The whole text; None: there was none.
        error: What was raised.
        receipt: Of the call.
    """

    text: str | None
    error: RequestFailed | None
    receipt: Receipt

    @property
    def history(self) -> list[tuple[str, str | None]]:
        """Who was asked, and how it failed."""
        return [(attempt.backend, attempt.error) for attempt in self.receipt.attempts]


@dataclass
class OddTable:
    """The two backends `odd` and `well`, and a router over them.

    Attributes:
        asked: How many requests each of the two got in the last call.
    """

    router: Router
    odd: RawServer
    well: RawServer
    _now: dict[str, Odd]
    asked: tuple[int, int] = (0, 0)

    def play(self, odd: Odd) -> None:
        """From now on the first backend answers so."""
        self._now["odd"] = odd

    async def told(self, odd: Odd, **call: Any) -> Told:
        """Make one call while the first backend answers so, a day after the one before."""
        await leap(DAY_S)
        self.play(odd)
        before = self._posts()
        told = await self._told(**call)
        after = self._posts()
        self.asked = after[0] - before[0], after[1] - before[1]
        await self.quiet()
        return told

    async def quiet(self) -> None:
        """Wait until nobody is at work; in seconds, as those are skipped."""
        for _ in range(100):
            if self.odd.busy == self.well.busy == 0:
                return
            await asyncio.sleep(1.0)
        pytest.fail("a backend is still at work")

    def _posts(self) -> tuple[int, int]:
        """How many requests came to each; looks at a health page are none."""
        one, other = (
            sum(exchange.head.startswith(b"POST") for exchange in server.exchanges)
            for server in (self.odd, self.well)
        )
        return one, other

    async def again(self, **call: Any) -> Told:
        """One more call, now, which the first backend would answer well."""
        self.play(good)
        return await self._told(**call)

    async def _told(self, *, read: Callable[[Any], Awaitable[str]] = text_of, **call: Any) -> Told:
        try:
            reply = await self.router.chat.completions.create(
                **{"task": "t", "messages": MESSAGES} | call
            )
            text = await read(reply) if call.get("stream") else reply.choices[0].message.content
            return Told(text, None, receipt(reply))
        except RequestFailed as error:
            return Told(None, error, receipt(error))


@asynccontextmanager
async def odd_table(*, alone: bool = False, **options: Any) -> AsyncIterator[OddTable]:
    """A router over an odd backend and, unless it is `alone`, a healthy one; nothing is left."""
    now: dict[str, Odd] = {"odd": good}

    async def play(exchange: Exchange) -> None:
        await now["odd"](exchange)

    async with raw_server(play) as odd, raw_server(good) as well:
        urls = {"odd": f"{odd.url}/v1"} | ({} if alone else {"well": f"{well.url}/v1"})
        text = policy(*urls, urls=urls, repeats=0, health=False, **options)
        async with Router.from_text(text, environ=environ(), clock=LoopClock()) as router:
            table = OddTable(router, odd, well, now)
            yield table
            assert router._engine.fleet.in_flight == 0
            await table.quiet()
        await until(lambda: odd.open == well.open == 0)
