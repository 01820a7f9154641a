"""The addresses of host names: asked for once, kept a little, and used longer if nobody answers.

A look-up is nobody's: whoever waits for it may leave, and it goes on for the others. One that hangs costs
those who wait for that name, and no one else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from hybridllm._runtime.ports import LookUp, NoSuchName

FRESH_S = (
    10.0  # as long as aiohttp keeps an address; `getaddrinfo` does not tell how long one holds
)
STALE_S = 3_600.0  # while the name server fails: RFC 8767 would allow days
STALE_AFTER_S = (
    0.2  # a name server that takes longer is not waited for, where there is an old answer
)
AGAIN_S = 1.0  # after a failure, old addresses do until then
_KEPT_MAX = 1_024


@dataclass(frozen=True, slots=True)
class _Kept:
    addresses: tuple[str, ...]
    fresh_until_s: float
    stale_until_s: float


class Names:
    """Remembers the addresses of names. Made and used inside one event loop.

    Args:
        look_up: Asks for a name's addresses.
        now_s: The loop's time.
    """

    def __init__(self, look_up: LookUp, *, now_s: Callable[[], float]) -> None:
        self._look_up = look_up
        self._now_s = now_s
        self._kept: dict[str, _Kept] = {}
        self._under_way: dict[str, asyncio.Future[tuple[str, ...]]] = {}

    async def addresses(self, host: str) -> tuple[str, ...]:
        """Return every address that a name has, at least one; those to prefer come first.

        Raises:
            OSError: If there is no answer and no old one; each caller gets an error of his own.
        """
        kept, now_s = self._kept.get(host), self._now_s()
        if kept is not None and now_s < kept.fresh_until_s:
            return kept.addresses
        asked = self._under_way.get(host)
        if asked is None:
            asked = self._asked(host)
        usable = kept is not None and now_s < kept.stale_until_s
        # Waiting for a set leaves the future alone if the waiter is cancelled.
        await asyncio.wait({asked}, timeout=STALE_AFTER_S if usable else None)
        if not asked.done():
            return self._old(host)
        if asked.cancelled():
            raise OSError("the look-up was given up")
        error = asked.exception()
        if error is None:
            return asked.result()
        if usable and not isinstance(error, NoSuchName):
            return self._old(host)
        # A shared exception would gather the frames of all who raise it.
        raise (type(error) if isinstance(error, OSError) else OSError)(*error.args)

    def close(self) -> None:
        """Wait for nothing more; a look-up that hangs is left to its thread."""
        for asked in list(self._under_way.values()):
            asked.cancel()

    def _old(self, host: str) -> tuple[str, ...]:
        kept = self._kept.get(host)
        if kept is None:
            raise NoSuchName("the name is gone")
        return kept.addresses

    def _asked(self, host: str) -> asyncio.Future[tuple[str, ...]]:
        asked = self._under_way[host] = self._look_up(host)
        asked.add_done_callback(lambda answered: self._answered(host, answered))
        return asked

    def _answered(self, host: str, answered: asyncio.Future[tuple[str, ...]]) -> None:
        self._under_way.pop(host, None)
        if answered.cancelled():
            return
        now_s, error = self._now_s(), answered.exception()
        if error is None:
            addresses = answered.result()
            self._kept.pop(host, None)
            while len(self._kept) >= _KEPT_MAX:
                del self._kept[next(iter(self._kept))]  # the oldest
            self._kept[host] = _Kept(addresses, now_s + FRESH_S, now_s + STALE_S)
            return
        kept = self._kept.pop(host, None)
        if kept is not None and not isinstance(error, NoSuchName) and now_s < kept.stale_until_s:
            again_s = min(now_s + AGAIN_S, kept.stale_until_s)
            self._kept[host] = _Kept(kept.addresses, again_s, kept.stale_until_s)
