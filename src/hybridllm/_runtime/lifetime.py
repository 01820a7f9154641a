"""Where a router is at home: the process and the event loop that it works in; how it moves, and how it ends.

A router works in one event loop at a time. When that loop is closed, or the process was forked, the next
request begins a new stay: nothing of the former one is used again. Two loops at once are refused, because
what is known of backends is plain data, changed without locks. Knows nothing of backends or policies.

A fork copies sockets, and with them the kernel's list of who waits for which. Whatever a child closes by the
rules of asyncio is taken off that list for its parent too: what is another process's is never touched.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

from hybridllm._runtime.ports import Wire
from hybridllm._runtime.stay import Stay
from hybridllm.errors import RouterClosed

READ_WAIT_S = 0.25
"""For the router's own thread to answer; one that takes longer is in nobody's request, but stuck."""
_LOOK_S = 0.1

_OTHER_LOOP = (
    "this router works in another event loop, which is not closed; a router works in one event loop at a "
    "time: make one in each loop, and in each thread that has one"
)
_Read = TypeVar("_Read")


class Lifetime:
    """The stays of one router, one after the other, and its end.

    Args:
        given: The wire that was handed in; None: one is made for each stay.
    """

    def __init__(self, given: Wire | None = None) -> None:
        self._given = given
        self._given_used = False
        self._stay = Stay(None)  # nowhere yet
        self._forsaken: list[
            Stay
        ] = []  # another process's: kept, so that no destructor closes anything
        self.closing = False

    def here(self) -> Stay:
        """Return the stay in the running event loop; begin one, if the former one is over.

        Raises:
            RouterClosed: If the router is closed, or at home in another event loop.
        """
        stay = self._stay
        if (
            stay.loop is asyncio.get_running_loop()
            and stay.open
            and stay.pid == os.getpid()
            and not self.closing
        ):
            return stay
        return self._moved()

    def _moved(self) -> Stay:
        if self.closing:
            raise RouterClosed("this router is closed; open a new one")
        former, loop = self._stay, asyncio.get_running_loop()
        forked = former.loop is not None and former.pid != os.getpid()
        if former.loop is loop:
            raise RouterClosed(
                "this process was forked in the middle of an event loop, which both cannot go on with; "
                "make a new loop in the child"
                if forked
                else "the event loop that this router works in is about to end"
            )
        if former.loop is not None and not forked and not former.loop.is_closed():
            raise RouterClosed(_OTHER_LOOP)
        stay = Stay(loop, former)
        # One step, for threads that come here at the same time: the first one has it, and a lock that
        # another thread holds while the process is forked would never be free in the child.
        if former.followed_by.setdefault("", stay) is not stay:
            raise RouterClosed(_OTHER_LOOP)
        self._stay = stay
        self._leave(former, forked=forked)
        return stay

    def wire(self, make: Callable[[], Wire]) -> Wire:
        """Return the wire for a new stay.

        Raises:
            RouterClosed: If one was handed in, and the stay that it was used in is over.
        """
        if self._given is None:
            return make()
        if self._given_used and not getattr(self._given, "any_loop", False):
            raise RouterClosed(
                "this router was handed a wire, and that belongs to the event loop and the process that it "
                "was first used in; hand a new one to a new router"
            )
        self._given_used = True
        return self._given

    def _leave(self, former: Stay, *, forked: bool) -> None:
        """See to what a stay has left behind that ended without us."""
        if forked:
            former.forsake()
            self._forsaken.append(former)
        elif former.loop is not None:
            former.drop()

    async def aclose(self, drain_s: float) -> None:
        """Take no more requests, let those under way end for `drain_s` seconds, and break off the rest.

        Safe to call twice, at the same time too: the shortest limit holds, and all return when all is
        closed. Where the router works in another thread's loop, it is closed there.

        Args:
            drain_s: Seconds; 0 breaks off at once.
        """
        self.closing = True
        stay = self._stay
        if self._given is not None and not self._given_used:
            self._given_used = True
            await self._given.close()
        if stay.loop is None:
            return
        if stay.pid != os.getpid():
            self._leave(stay, forked=True)
        elif stay.loop is asyncio.get_running_loop():
            await stay.close(drain_s)
        elif stay.loop.is_running():
            await _closed_there(stay, stay.loop, drain_s)
        else:
            await stay.close_from_outside()

    def read(self, what: Callable[[], _Read]) -> _Read:
        """Return what `what` returns; where another thread's loop is at work, it is called there.

        What is known of backends is changed without locks, so it is read between two steps of its loop.
        A loop that is stuck (it may be waiting for this very thread) changes nothing: then it is read here.
        """
        loop = self._stay.loop
        if loop is None or self._stay.pid != os.getpid() or not loop.is_running():
            return what()
        with suppress(RuntimeError):
            if asyncio.get_running_loop() is loop:
                return what()
        found: Future[_Read] = Future()
        try:
            loop.call_soon_threadsafe(_answer, found, what)
        except RuntimeError:  # it was closed just now
            return what()
        try:
            return found.result(READ_WAIT_S)
        except TimeoutError:
            return what() if found.cancel() else found.result()


def _answer(found: Future[_Read], what: Callable[[], _Read]) -> None:
    if found.set_running_or_notify_cancel():
        try:
            found.set_result(what())
        except Exception as error:  # noqa: BLE001 - a border: raised in the thread that asked
            found.set_exception(error)


async def _closed_there(stay: Stay, loop: asyncio.AbstractEventLoop, drain_s: float) -> None:
    """Close a stay in its own thread, and wait for it; a loop that stops meanwhile is not waited for."""
    closing = stay.close(drain_s)
    try:
        there = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(closing, loop))
    except RuntimeError:  # it was closed just now
        closing.close()
        await stay.close_from_outside()
        return
    try:
        while not (await asyncio.wait({there}, timeout=_LOOK_S))[0] and loop.is_running():
            pass
    finally:
        closed = there.done()
        there.cancel()  # then it breaks off, as any other that is cancelled
    if not closed:
        await stay.close_from_outside()
