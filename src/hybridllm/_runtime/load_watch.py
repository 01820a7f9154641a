"""Asks backends of one's own for their pages of metrics, while requests look at their load.

About once a second each, rarer where there are many, sooner where one has more to do than ever. Those whose
time has nearly come are asked together: to wake up costs more than to ask. It begins with a request and ends
ten seconds after the last one.

What it sends tells nothing of anybody's: no body, and no key, for vLLM shows its page to everybody, and a
page is not worth handing the key to whoever answers in its place. A page may be a mebibyte and take two
seconds; one that is late, large or senseless was not told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context

from hybridllm._core.policy.compiled import Backend
from hybridllm._core.telemetry.pages import PAGE_BYTES_MAX, read_page
from hybridllm._core.telemetry.report import LoadReport, TelemetryProblem
from hybridllm._core.telemetry.watched import Watched
from hybridllm._runtime.exchange import is_plain
from hybridllm._runtime.loads import Loads, is_own
from hybridllm._runtime.ports import Clock, Wire, WireError, WireRequest
from hybridllm._version import __version__

EVERY_S = 1.0
SOON_S = 0.25
"""So soon at the earliest it is asked again, if it got more to do than it was ever seen to work on."""
TOGETHER = 0.25
"""Those that would be asked within so much of a round are asked now."""
UNUSED_S = 10.0
ANSWER_S = 5.0
"""How long a page may take: a vLLM that is short of a core takes seconds for it."""
A_SECOND_MAX = 20
"""Pages of all backends together: reading one takes about a third of a millisecond."""
SILENT_MAX = 5
"""Pages that may be missing in a row before one that never told anything is asked rarer and rarer."""

_HEADERS = {
    "Accept": "text/plain",
    "Accept-Encoding": "identity",
    "User-Agent": f"hybridllm/{__version__}",
}
_SILENT_S_MAX = 30.0
_SPREAD = 0.1
_logger = logging.getLogger("hybridllm")


class LoadWatch:
    """Asks while somebody wants to know.

    Args:
        loads: Who wants to know, and is told.
        draw: A number in [0, 1], drawn anew at each call.
    """

    def __init__(self, loads: Loads, wire: Wire, clock: Clock, draw: Callable[[], float]) -> None:
        self._loads = loads
        self._wire = wire
        self._clock = clock
        self._draw = draw
        self._asking: asyncio.Task[None] | None = None
        self._looks: dict[str, asyncio.Task[None]] = {}  # under way
        self._due_s: dict[str, float] = {}
        self._asked_s: dict[str, float] = {}
        self._sooner = asyncio.Event()
        for name in loads.watched:
            loads.unasked(name)  # who asked before is gone with its event loop
        loads.watch, loads.hurry = self.begin, self.hurry

    def begin(self) -> None:
        """Begin to ask, if nobody does."""
        self._loads.watching = True
        if self._asking is None and self._own():
            # In a context of its own: the request that wants to know is not what this is done for.
            self._asking = asyncio.get_running_loop().create_task(
                self._ask(), name="hybridllm-load", context=Context()
            )

    def hurry(self, backend: str) -> None:
        """Ask one as soon as may be."""
        after_s = max(SOON_S, len(self._due_s) / A_SECOND_MAX)
        soon_s = self._asked_s.get(backend, float("-inf")) + after_s
        if backend not in self._looks and soon_s < self._due_s.get(backend, float("-inf")):
            self._due_s[backend] = soon_s
            self._sooner.set()

    async def close(self) -> None:
        """Stop asking, for good."""
        self._loads.watch = self._loads.hurry = None
        tasks = [*self._looks.values(), *([] if self._asking is None else [self._asking])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _own(self) -> list[Watched]:
        return [one for one in self._loads.watched.values() if is_own(one.backend)]

    async def _ask(self) -> None:
        try:
            while (own := self._own()) and self._now_s() - self._loads.used_at_s < UNUSED_S:
                next_s = self._ask_those_due(own)
                self._sooner.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, next_s - self._now_s())):
                        await self._sooner.wait()
        finally:
            self._asking = None
            self._due_s.clear()
            for name in self._loads.watched:
                self._loads.unasked(name)

    def _ask_those_due(self, own: list[Watched]) -> float:
        """Ask those whose time has come, or nearly; return when the next one's comes."""
        now_s, next_s = self._now_s(), float("inf")
        round_s = max(EVERY_S, len(own) / A_SECOND_MAX)
        for place, one in enumerate(own):
            name = one.backend.name
            due_s = self._due_s.setdefault(name, now_s + place / A_SECOND_MAX)
            if due_s <= now_s + TOGETHER * round_s:
                due_s = self._due_s[name] = max(due_s, now_s) + self._pause_s(one, round_s)
                if name not in self._looks:
                    self._asked_s[name] = now_s
                    self._looks[name] = asyncio.get_running_loop().create_task(
                        self._look_at(one), name=f"hybridllm-load-{name}", context=Context()
                    )
            next_s = min(next_s, due_s)
        return next_s

    def _pause_s(self, one: Watched, round_s: float) -> float:
        """How long it is not asked; spread, or all routers would ask at once for ever."""
        every_s = min(round_s, one.backend.saturation.stale_after_s / 2.0)
        if one.heard is None and one.silent > SILENT_MAX:
            every_s = min(_SILENT_S_MAX, every_s * 2.0 ** min(8, one.silent - SILENT_MAX))
        return every_s * (1.0 + _SPREAD * (2.0 * self._draw() - 1.0))

    def _now_s(self) -> float:
        return self._clock.monotonic_s()

    async def _look_at(self, one: Watched) -> None:
        backend = one.backend
        try:
            asked = self._loads.asks(backend.name)
            if asked is not None:
                self._loads.told(backend.name, await self._report(one), asked)
        finally:
            del self._looks[backend.name]

    async def _report(self, one: Watched) -> LoadReport | None:
        """Return what its page tells; None: nothing that can be used."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._told(one.backend)
        except Exception as error:  # noqa: BLE001 - a border: whatever goes wrong, nothing was told
            known = isinstance(error, TimeoutError | WireError | TelemetryProblem)
            if not known and not one.silent:
                _logger.warning("a page of metrics was not read: %s", type(error).__name__)
        return None

    async def _told(self, backend: Backend) -> LoadReport | None:
        """Return what its page tells; None: nothing of load.

        Raises:
            WireError: If no whole page came.
            TelemetryProblem: If it is too large, or senseless.
        """
        connect_s = min(ANSWER_S, backend.timeouts.connect_s)
        headers = {**_HEADERS, **dict(backend.headers)}
        url = metrics_url(backend)
        request = WireRequest("GET", url, headers, None, connect_s, backend.private)
        answer = await self._wire.send(request)
        pieces: list[bytes] = []
        size, whole = 0, False
        try:
            if answer.status != 200 or not is_plain(answer.headers):
                return None
            while piece := await answer.chunk():
                size += len(piece)
                if size > PAGE_BYTES_MAX:
                    return None
                pieces.append(piece)
            whole = True
        finally:
            await answer.close(reusable=whole)
        report = read_page(b"".join(pieces))
        return report if report.tells else None


def metrics_url(backend: Backend) -> str:
    """Return the address of a backend's page of metrics: beside its API, as vLLM has it."""
    return f"{backend.base_url.removesuffix('/v1')}/metrics"
