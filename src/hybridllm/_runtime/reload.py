"""Another policy while requests run: read in a thread, swapped in on the loop, in one statement.

Owns when a file is read and what becomes of it; knows nothing of what is in it. The last good policy stays
in force whatever goes wrong. One load at a time; who asks while one is under way gets one that began after
the question, shared with everybody who asked meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from hybridllm._core.policy.compiled import Policy
from hybridllm._core.policy.problems import Problem
from hybridllm._runtime.in_force import InForce
from hybridllm._runtime.one_thread import OneThread
from hybridllm._runtime.ports import Clock
from hybridllm._runtime.source import Glimpse, PolicySource, ReloadListener, Taken
from hybridllm.errors import PolicyError, RouterClosed

SETTLE_S = 0.05
"""A content that nobody has loaded before is taken if it is the same after this time."""
LOOKS_MAX = 20
"""So often is a file looked at that is never the same twice; then the reload fails."""
_MOVING = (
    "is being written all the time, so nothing says when it is whole; write another file beside it "
    "and rename that one"
)
ERROR_LENGTH_MAX = 2_000
_LOGGED_MAX = 256
_THREAD = "hybridllm-policy"

_logger = logging.getLogger("hybridllm.reload")
_Given = TypeVar("_Given")


@dataclass(frozen=True, slots=True)
class _Turn:
    """A load that is over.

    Attributes:
        taken: What the file came to.
        swapped: True if another policy is in force since.
        bug: What went wrong beside the file; then the rest says nothing.
        moved: True if it was let be, for somebody is at work on it; then the rest says nothing.
    """

    taken: Taken
    swapped: bool = False
    bug: Exception | None = None
    moved: bool = False

    def error(self) -> Exception | None:
        """Return why it failed.

        A `PolicyError` is a new object each time, so that no caller sees another one's frames; a bug is
        the one object that it was.
        """
        error = self.taken.error
        if self.bug is not None:
            return self.bug
        return None if error is None else PolicyError(error.source, error.problems)


class Reloader:
    """Replaces the policy in force by what its file says now; once, or whenever the file changes.

    Works in one event loop at a time, like the router.

    Args:
        source: The file.
        first: What the policy in force was made from.
        in_force: Where results are noted.
        swap: Puts a policy in force; synchronous.
        listener: Who is told.
        watch_s: Seconds between two looks at the file, while it is watched.
    """

    def __init__(
        self,
        source: PolicySource,
        first: Taken,
        in_force: InForce,
        *,
        swap: Callable[[Policy], None],
        listener: ReloadListener,
        clock: Clock,
        watch_s: float,
    ) -> None:
        self._source = source
        self._in_force = in_force
        self._swap = swap
        self._listener = listener
        self._clock = clock
        self._watch_s = watch_s
        self._content = first.content  # of the policy in force
        self._last = first
        self._sure = False  # True once the last content was read again, a while after it was taken
        self._looked_at = first.look  # by the watcher, the last time
        self._moves = 0  # so many looks in a row were each another one
        self._logged: OrderedDict[str, None] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._under_way: asyncio.Task[_Turn] | None = None
        self._next: asyncio.Task[_Turn] | None = None  # begins when that one is over
        self._thread = OneThread(_THREAD)
        self._watcher: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def watching(self) -> bool:
        """Whether the file is looked at now."""
        watcher = self._watcher
        if watcher is None or watcher.done() or self._pid != os.getpid():
            return False
        return not watcher.get_loop().is_closed()

    async def reload(self) -> bool:
        """Read the file, and put its policy in force if it is another one and good.

        Returns:
            Whether another policy is in force now.

        Raises:
            PolicyError: If the file is wrong; the policy in force stays.
            RouterClosed: If the router is closed, or belongs to another event loop.
        """
        self._belong()
        turn = await self._turn()
        error = turn.error()
        if error is not None:
            raise error
        return turn.swapped

    def watch(self) -> None:
        """Look at the file from now on, until `close`; a second call does nothing.

        If the event loop is closed, the watch begins again with the first call in another one.
        """
        self._belong()
        if self._watcher is None:
            self._watcher = self._watcher_in(asyncio.get_running_loop())

    async def close(self) -> None:
        """Stop watching, wait shortly for a load under way, and end the thread."""
        self._closed = True
        if self._pid != os.getpid():
            return  # tasks and thread are those of the process that this one was forked from
        tasks = [task for task in (self._watcher, self._next, self._under_way) if task is not None]
        self._watcher = self._next = self._under_way = None
        here = asyncio.get_running_loop()
        left = {task for task in tasks if task.get_loop() is here and not task.done()}
        for task in tasks:
            _cancel(task, here)
        if left:
            await asyncio.wait(left)
        await self._thread.close()

    def _belong(self) -> None:
        """Bind to the running loop, or refuse it."""
        if self._closed:
            raise RouterClosed("this router is closed; open a new one")
        loop, forked = asyncio.get_running_loop(), self._pid != os.getpid()
        if loop is self._loop and not forked:
            return
        if self._loop is not None and not self._loop.is_closed() and not forked:
            raise RouterClosed(
                "this router works in another event loop, which is not closed; make one in each loop"
            )
        watched = self._watcher is not None
        if forked:  # a fork does not copy threads
            self._thread = OneThread(_THREAD)
        self._loop, self._pid = loop, os.getpid()
        self._under_way = self._next = None
        self._watcher = self._watcher_in(loop) if watched else None

    def _watcher_in(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        # No TaskGroup: the watch begins inside one call and ends inside another.
        return loop.create_task(self._watched(), name=f"hybridllm watches {self._source.file}")

    async def _turn(self, *, watcher: bool = False) -> _Turn:
        """Load once, or share a load that began after this call.

        Args:
            watcher: For the watcher, which asks only while nothing is loaded; so nobody shares its load.
        """
        task = self._next
        if task is None:
            # No TaskGroup: whoever asks first may leave, the load is for the others as well.
            before = self._under_way
            task = asyncio.get_running_loop().create_task(
                self._load(before, watcher=watcher), name=f"hybridllm loads {self._source.file}"
            )
            if before is None:
                self._under_way = task
            else:
                self._next = task
        return await asyncio.shield(task)

    async def _load(self, before: asyncio.Task[_Turn] | None, *, watcher: bool) -> _Turn:
        """Load, once the load before is over. Raises nothing: perhaps nobody waits for it any more."""
        me = asyncio.current_task()
        try:
            if before is not None:
                await asyncio.wait({before})
                self._under_way, self._next = self._next, None
            return await (self._loaded_still() if watcher else self._loaded())
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return _Turn(self._last, bug=_closed())
        except Exception as error:  # noqa: BLE001 - a border: handed to everybody who waits
            return _Turn(self._last, bug=error)
        finally:
            if self._under_way is me:
                self._under_way = None
            if self._next is me:
                self._next = None

    async def _loaded(self) -> _Turn:
        return self._done(await self._taken())

    async def _loaded_still(self) -> _Turn:
        """Load what stood still for a whole look; let it be if somebody touched it since."""
        still = self._looked_at
        again = still == self._last.look
        taken = await self._taken()
        if taken.look is not None and taken.look != still:
            return _Turn(taken, moved=True)
        if again and taken.content == self._last.content:  # made sure of: nobody is told
            self._sure, self._last = True, replace(taken, policy=None)
            return _Turn(taken)
        return self._done(taken)

    def _done(self, taken: Taken) -> _Turn:
        if self._closed:
            raise _closed()
        self._sure, self._last, self._moves = False, replace(taken, policy=None), 0
        return _Turn(taken, swapped=self._noted(taken))

    async def _taken(self) -> Taken:
        """Read the file until it is known what it comes to."""
        seen: Glimpse | None = None
        for _ in range(LOOKS_MAX):
            found = await self._in_thread(partial(self._source.take, seen))
            if isinstance(found, Taken):
                return found
            if isinstance(found, Exception):
                # A bug, of ours or a parser's. What it says may quote the file: only its class is told.
                return self._failed(f"cannot be loaded ({type(found).__name__})")
            seen = found
            await self._clock.sleep(SETTLE_S)
        return self._failed(_MOVING)

    def _failed(self, message: str) -> Taken:
        problem = Problem(self._source.file, 0, 1, "", message)
        return Taken(message, None, error=PolicyError(self._source.file, (problem,)))

    def _noted(self, taken: Taken) -> bool:
        """Act on what a load came to; return whether another policy is in force since."""
        state = self._in_force
        if taken.policy is None:
            state.failed += 1
            state.last_error = _cut(str(taken.error))
            state.last_error_at = self._clock.utc_now()
            self._listener.reloaded("failed", state.policy.name)
            return False
        state.last_error = None
        if taken.content == self._content:
            self._listener.reloaded("unchanged", state.policy.name)
            return False
        former = state.policy.version
        self._swap(taken.policy)
        self._content = taken.content
        state.observed.keep(taken.policy)
        state.reloads += 1
        state.loaded_at = self._clock.utc_now()
        self._listener.reloaded("ok", taken.policy.name)
        _logger.info("policy %s: %s follows %s", taken.policy.name, taken.policy.version, former)
        return True

    async def _watched(self) -> None:
        while not self._closed:
            await self._clock.sleep(self._watch_s)
            try:
                await self._looked()
            except RouterClosed:
                return
            except Exception as error:  # noqa: BLE001 - a border: whatever it is, the file is watched on
                self._log_once(type(error).__name__, f"watching failed ({type(error).__name__})")

    async def _looked(self) -> None:
        """Look at the file, and load it if somebody touched it, but for at least a whole look nobody has."""
        look = await self._in_thread(self._source.look)
        if isinstance(look, Exception):
            raise look
        stood, self._looked_at = look == self._looked_at, look
        self._moves = 0 if stood else self._moves + 1
        if self._under_way is not None or self._next is not None:
            return  # somebody else asked for it
        if self._moves == LOOKS_MAX:
            turn = self._done(self._failed(_MOVING))
        elif not stood:
            return  # somebody is writing or replacing it, most likely
        elif look == self._last.look and self._sure:
            return
        else:
            # Two writes within one tick of the file system's clock look alike: read once more in any case.
            turn = await self._turn(watcher=True)
        if turn.bug is not None:
            raise turn.bug
        if turn.taken.error is not None and not turn.moved:
            self._log_once(turn.taken.content, str(turn.taken.error))

    def _log_once(self, content: str, text: str) -> None:
        if content in self._logged:
            return
        self._logged[content] = None
        if len(self._logged) > _LOGGED_MAX:
            self._logged.popitem(last=False)
        policy = self._in_force.policy
        _logger.warning("policy %s %s stays in force: %s", policy.name, policy.version, _cut(text))

    async def _in_thread(self, work: Callable[[], _Given]) -> _Given | Exception:
        if self._closed:
            raise _closed()
        return await self._thread.run(work)


def _closed() -> RouterClosed:
    return RouterClosed("this router was closed while its policy was reloaded")


def _cancel(task: asyncio.Task[Any], here: asyncio.AbstractEventLoop) -> None:
    """Cancel a task, whichever loop it belongs to."""
    loop = task.get_loop()
    if loop is here:
        task.cancel()
        return
    with suppress(RuntimeError):  # it is closed, and the task with it
        loop.call_soon_threadsafe(task.cancel)


def _cut(text: str) -> str:
    return text if len(text) <= ERROR_LENGTH_MAX else f"{text[: ERROR_LENGTH_MAX - 1]}…"
