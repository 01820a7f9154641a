"""Asks backends of one's own for their pages of metrics, while requests look at their load.

About once a second each, at moments of their own, so that they are not all asked at once; rarer where there
are many, sooner where much was sent since. It begins with a request and ends ten seconds after the last one.
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
"""So soon at the earliest it is asked again, if much was sent since it told."""
UNUSED_S = 10.0
ANSWER_S = 2.0
"""How long a page may take."""
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
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._soon: dict[str, asyncio.Event] = {}
        for name in loads.watched:
            loads.unasked(name)  # who asked before is gone with its event loop
        loads.watch, loads.hurry = self.begin, self.hurry

    def begin(self) -> None:
        """Begin to ask those whom nobody asks."""
        self._loads.watching = True
        backends = [one.backend for one in self._loads.watched.values() if is_own(one.backend)]
        new = [backend for backend in backends if backend.name not in self._asking]
        for place, backend in enumerate(new):
            # In a context of its own: the request that wants to know is not what this is done for.
            self._asking[backend.name] = asyncio.get_running_loop().create_task(
                self._ask(backend.name, place / A_SECOND_MAX),
                name=f"hybridllm-load-{backend.name}",
                context=Context(),
            )

    def hurry(self, backend: str) -> None:
        """Ask one as soon as may be."""
        soon = self._soon.get(backend)
        if soon is not None:
            soon.set()

    async def close(self) -> None:
        """Stop asking, for good."""
        self._loads.watch = self._loads.hurry = None
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)

    async def _ask(self, name: str, after_s: float) -> None:
        self._soon[name] = soon = asyncio.Event()
        try:
            await self._clock.sleep(after_s)
            while self._clock.monotonic_s() - self._loads.used_at_s < UNUSED_S:
                one = self._loads.watched.get(name)
                if one is None or not is_own(one.backend):
                    return
                soon.clear()
                await self._look_at(one)
                await self._pause(one, soon)
        finally:
            del self._asking[name], self._soon[name]
            self._loads.unasked(name)

    async def _pause(self, one: Watched, soon: asyncio.Event) -> None:
        """Wait until it is to be asked again; spread, or all would be asked at once for ever."""
        patience_s = one.backend.saturation.stale_after_s / 2.0
        every_s = max(min(EVERY_S, patience_s), len(self._asking) / A_SECOND_MAX)
        if one.heard is None and one.silent > SILENT_MAX:
            every_s = min(_SILENT_S_MAX, every_s * 2.0 ** min(8, one.silent - SILENT_MAX))
        every_s *= 1.0 + _SPREAD * (2.0 * self._draw() - 1.0)
        again_s = self._clock.monotonic_s() + max(SOON_S, every_s / 4.0)
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await soon.wait()
                await self._clock.sleep(again_s - self._clock.monotonic_s())

    async def _look_at(self, one: Watched) -> None:
        backend = one.backend
        asked = self._loads.asks(backend.name)
        if asked is None:
            return
        report: LoadReport | None = None
        try:
            async with asyncio.timeout(ANSWER_S):
                report = await self._told(backend)
        except Exception as error:  # noqa: BLE001 - a border: whatever goes wrong, nothing was told
            known = isinstance(error, TimeoutError | WireError | TelemetryProblem)
            if not known and not one.silent:
                _logger.warning("a page of metrics was not read: %s", type(error).__name__)
        self._loads.told(backend.name, report, asked)

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
