"""A router's stay in one event loop: its wire there, who is under way, and how both come to their end.

Everything here happens in that loop's own thread, but for what says otherwise.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from hybridllm._runtime.ports import OwnWire, Wire

END_S = 1.0
"""For what was broken off to come to its end, before the connections are closed under it."""
_CLOSED = "the router was closed"
_LOOP_ENDED = "its event loop ended"


class Breakable(Protocol):
    """A stream that its caller holds."""

    def break_off(self, words: str) -> Coroutine[Any, Any, None]:
        """End it now; whoever reads it is told. Returns what gives its connection back."""
        ...

    def loop_ended(self) -> None:
        """End it, in whatever loop: its own one is closed, and there is nothing to wait for."""
        ...


class Passage:
    """One request's way through a router, from its plan to its receipt.

    Attributes:
        stream: Its stream, once the caller has it: no task stands for it any more.
    """

    __slots__ = ("_broken_off", "_cancelling", "_stay", "_task", "stream")

    def __init__(self, stay: Stay) -> None:
        self._stay = stay
        self._task = asyncio.current_task()
        self._cancelling = 0 if self._task is None else self._task.cancelling()
        self._broken_off = False
        self.stream: Breakable | None = None

    def over(self) -> None:
        """The request has its receipt; a second call does nothing."""
        self._stay.leave(self)

    def break_off(self, words: str) -> None:
        """End it now, as `words` say."""
        if self.stream is not None:
            self._stay.hold(self.stream.break_off(words))
        elif self._task is not None and not self._broken_off:
            self._broken_off = True
            self._task.cancel()

    def was_broken_off(self, error: BaseException) -> bool:
        """Return whether it is by `break_off` alone that its task was cancelled, and take that back.

        Asked once, by the task itself. A caller that cancels at the same time goes before.
        """
        if not self._broken_off or self._task is None:
            return False
        self._broken_off = False
        return self._task.uncancel() <= self._cancelling and isinstance(
            error, asyncio.CancelledError
        )

    def hold(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Stay.hold`."""
        self._stay.hold(work)


class Stay:
    """The time that a router spends in one event loop of one process.

    Args:
        loop: The running one; None: nowhere yet.
        former: The stay before.

    Attributes:
        cut_off: True if requests were under way in that one as it ended.
        goes_on: False if the loop's time is behind the former one's: what was noted there is not to be
            compared with it. Real loops agree with each other, virtual ones begin anew.
        open: False once no request may begin in it.
        followed_by: The next one, set in one step.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None, former: Stay | None = None) -> None:
        before = former.loop if former is not None else None
        self.loop: asyncio.AbstractEventLoop | None = loop
        self.pid = os.getpid()
        self.cut_off = former is not None and former.under_way > 0
        before_s = (
            0.0 if before is None else before.time()
        )  # read before the other, for both may run
        self.goes_on = loop is None or loop.time() >= before_s
        self.open = True
        self.followed_by: dict[str, Stay] = {}
        self._under_way: set[Passage] = set()
        self._all_over: asyncio.Event | None = None  # made when somebody waits for it
        self._held: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._wire: Wire | None = None
        self._first: Callable[[], Awaitable[None]] | None = None
        self._at_loop_end: AsyncGenerator[None, None] | None = None

    def use(self, wire: Wire, *, first: Callable[[], Awaitable[None]]) -> None:
        """Take a wire into use: it is closed with this stay, at the latest when the loop ends.

        Args:
            wire: Made for this stay.
            first: Called before that, to end what else uses the wire.
        """
        self._wire = wire
        self._first = first
        # A loop that ends closes the generators that were begun in it, while it still runs: the one
        # moment in which connections can be closed properly by somebody whom nobody has told.
        self._at_loop_end = self._until_loop_ends()
        with suppress(StopIteration):
            self._at_loop_end.__anext__().send(None)

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if self.pid == os.getpid():
                self.open = False
                self.break_off(_LOOP_ENDED, streams_only=True)
                if self._held:  # else the loop would be closed under them
                    await asyncio.wait(self._held, timeout=END_S)
                if getattr(self._wire, "any_loop", False):
                    self._wire = None  # it goes on to the next one
                await self._close_wire()

    @property
    def under_way(self) -> int:
        """How many requests have no receipt yet, streams that their callers hold among them."""
        return len(self._under_way)

    def enter(self, *, counted: bool = True) -> Passage:
        """Count a request as under way; one that nobody waits for is not counted."""
        passage = Passage(self)
        if counted:
            self._under_way.add(passage)
        return passage

    def leave(self, passage: Passage) -> None:
        """Its `Passage` is over."""
        self._under_way.discard(passage)
        if self._all_over is not None and not self._under_way:
            self._all_over.set()

    def hold(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what nobody waits for; a task that nobody holds may vanish before it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._held.add(task)
        task.add_done_callback(self._held.discard)

    async def close(self, drain_s: float) -> None:
        """Wait until all is over, for `drain_s` seconds at most; break off the rest, and close the wire.

        Who is cancelled while it waits breaks off at once. All who call it return when it is closed.
        """
        self.open = False
        try:
            await self._over_within(drain_s)
        finally:
            if self._ending is None:
                self.break_off(_CLOSED)
                # No TaskGroup: it is shared by everybody who closes, and each of them may leave.
                loop = asyncio.get_running_loop()
                self._ending = loop.create_task(self._end(), name="hybridllm closes")
            await asyncio.shield(self._ending)

    async def _over_within(self, seconds: float) -> None:
        if not self._under_way or seconds <= 0:
            return
        if self._all_over is None:
            self._all_over = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all_over.wait()

    def break_off(self, words: str, *, streams_only: bool = False) -> None:
        """End everything that is under way now."""
        for passage in list(self._under_way):
            if passage.stream is not None or not streams_only:
                passage.break_off(words)

    async def _end(self) -> None:
        await self._over_within(END_S)
        if self._held:
            await asyncio.wait(self._held, timeout=END_S)
        await self._close_wire()
        if self._at_loop_end is not None:
            await self._at_loop_end.aclose()

    async def _close_wire(self) -> None:
        first, self._first = self._first, None
        wire, self._wire = self._wire, None
        try:
            if first is not None:
                await first()
        finally:
            if wire is not None:
                await wire.close()

    async def close_from_outside(self) -> None:
        """Close it from another loop, while its own one is open but does not run.

        Its requests are told when their loop runs again.
        """
        self.open = False
        if self.loop is None or self.loop.is_closed():
            self.drop()
            return
        with suppress(RuntimeError):  # it was closed just now
            self.loop.call_soon_threadsafe(self._end_there)
        wire, self._wire = self._wire, None
        if isinstance(wire, OwnWire):
            wire.drop()
        elif wire is not None:
            await wire.close()

    def _end_there(self) -> None:
        self.break_off(_CLOSED)
        self.hold(self._close_wire())

    def drop(self) -> None:
        """Give up what is left of a stay whose loop was closed without a word."""
        self.open = False
        for passage in list(self._under_way):
            if passage.stream is not None:
                passage.stream.loop_ended()  # its connection goes with the wire
        wire, self._wire = self._wire, None
        if isinstance(wire, OwnWire):
            wire.drop()

    def forsake(self) -> None:
        """Forget what belongs to the process that this one was forked from; nothing of it is touched."""
        self.open = False
        if isinstance(self._wire, OwnWire):
            self._wire.forsake()
