"""The stream that a caller iterates.

It is committed: its first token is here, and no other backend will be asked any more. If it breaks now,
the caller is told, with what had come.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hybridllm._core.receipt import Receipt
from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.stream_end import StreamEnd
from hybridllm._runtime.upstream import Upstream

if TYPE_CHECKING:
    from hybridllm._core.resilience.seams import Continued, Restarted
    from hybridllm._runtime.resume import Resume
    from hybridllm._runtime.stay import Passage


class Stream:
    """An answer as it comes: `async for chunk in stream`, best inside `async with stream`.

    Chunks are `openai` `ChatCompletionChunk`s. After the last one, or after `close`, `receipt` tells
    what became of the request. A stream that is left early is closed, and so is its backend's work, at
    the end of the `async with` block. One task reads it at a time, in the event loop that it was opened in.
    """

    def __init__(
        self,
        upstream: Upstream,
        held: deque[Any],
        end: StreamEnd,
        *,
        idle_s: float,
        deadline_at_s: float,
        resume: Resume | None = None,
    ) -> None:
        self._upstream = upstream
        self._held = held  # up to and including the first semantic token
        self._end = end
        self._idle_s = idle_s
        self._deadline_at_s = deadline_at_s
        self._reading = False
        self._resume = resume  # None: where it breaks, it ends
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()

    @property
    def receipt(self) -> Receipt:
        """What became of the request.

        Raises:
            LookupError: If the stream has not ended and was not closed.
        """
        if self._end.receipt is None:
            raise LookupError("the stream has not ended; its receipt is there after the last chunk")
        return self._end.receipt

    @property
    def model(self) -> str:
        """The logical model that answers."""
        return self._upstream.trial.kept.candidate.model.name

    @property
    def backend(self) -> str:
        """The backend that answers."""
        return self._upstream.trial.kept.candidate.backend.name

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        """The next chunk; where the call said so with `on_interrupt`, a `Restarted` or `Continued` too.

        Raises:
            StopAsyncIteration: At the end of a whole answer, and only then.
            StreamInterrupted: If the stream broke, or was closed or cancelled before its end, or its
                router was (`cause` is `router_closed`); it holds the text so far.
            DeadlineExceeded: If the request's deadline passed in its middle.
            RuntimeError: If another task is reading it, or it belongs to another event loop.
        """
        if self._held:
            return self._held.popleft()
        chunk = self._upstream.take()
        return chunk if chunk is not None else await self._next()

    async def _next(self) -> Any:
        if self._reading:
            raise RuntimeError("another task is reading this stream; one reads at a time")
        upstream = self._upstream
        at_home = self._at_home()
        while not self._over():
            self._reading = True
            try:
                await upstream.pull(
                    limit_s=self._idle_s,
                    kind=FailureKind.IDLE_TIMEOUT,
                    deadline_at_s=self._deadline_at_s,
                )
            except BaseException as error:  # noqa: BLE001 - raised again, without its frames
                await self._leave("cancelled")
                raise error.with_traceback(None) from None
            finally:
                self._reading = False
            chunk = upstream.take()
            if chunk is not None:
                return chunk
        if at_home and self._end.receipt is None and self._resume is not None:
            seam = await self._resumed(self._resume)
            if seam is not None:
                return seam
        if at_home:
            await upstream.close()
        broken = self._end.untold()
        if broken is not None:
            raise broken
        raise StopAsyncIteration

    async def _resumed(self, resume: Resume) -> Restarted | Continued | None:
        """Go on with another attempt, and return what marks the seam; None: it has ended."""
        self._reading = True
        try:
            found = await resume.after(self._end, self._upstream)
        except BaseException as error:  # noqa: BLE001 - raised again, without its frames
            await self._leave("cancelled")
            raise error.with_traceback(None) from None
        finally:
            self._reading = False
        if found is None:
            return None
        seam, begun = found
        self._adopt(begun)
        if resume.continues:  # the role, once more, of a text's rest
            self._held = deque(chunk for chunk in self._held if _says_something(chunk))
        return seam

    def _adopt(self, begun: Stream) -> None:
        """Go on as the stream of another attempt, which nobody else has seen."""
        self._upstream, self._held = begun._upstream, begun._held
        self._end, self._idle_s = begun._end, begun._idle_s
        self._upstream.trial.run.passage.stream = self._end
        del begun._pid

    def hand_over(self, passage: Passage) -> None:
        """It is its caller's now; that it ends is the router's business too."""
        passage.stream = self._end

    def handed_out(self) -> None:
        """Its caller gets it now; if all of it was read before, its first token is no earlier."""
        self._end.handed_out()

    def forget(self) -> None:
        """Nobody will read it, nor be told of it: another answer took its place."""
        del self._pid

    def _at_home(self) -> bool:
        """False in another loop than its own, where there is nothing left to wait for.

        Raises:
            RuntimeError: If its own loop could still go on with it.
        """
        if asyncio.get_running_loop() is self._loop:
            return True
        if self._end.receipt is None:
            if not self._loop.is_closed():
                raise RuntimeError(
                    "this stream belongs to another event loop; read and close it where it was opened"
                )
            self._end.loop_ended()
        return False

    def _over(self) -> bool:
        """True once it has ended, or has broken where another attempt may go on; ends it otherwise."""
        if self._end.receipt is None and self._upstream.over:
            if self._upstream.failure is None:
                self._end.served()
            elif self._resume is None:
                self._end.broken(self._upstream.failure)
            return True
        return self._end.receipt is not None

    async def close(self) -> None:
        """End the stream: whatever has not come is not wanted. Safe to call twice.

        Where every choice has had its finish_reason the answer was whole, and counts as served.

        Raises:
            RuntimeError: If it belongs to another event loop.
        """
        self._held.clear()
        if not self._at_home():
            return
        resume, self._resume = self._resume, None
        if resume is not None:
            await resume.stop()
        if self._end.receipt is None and not self._reading:
            try:
                await self._upstream.finish()
            except BaseException:
                await self._leave("cancelled")
                raise
            self._over()
        await self._leave("closed")

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if not hasattr(self, "_pid") or self._end.receipt is not None:
            return
        if self._pid != os.getpid():
            return  # a copy: the process that this one was forked from has the stream
        # In its loop, and not here: this may be any thread, in the middle of anything; and somebody may
        # wait for the slot that is freed.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_close_dropped, self._end, self._upstream)
        else:
            self._end.left("dropped")
        warnings.warn(
            "a Stream was dropped before its end; use `async with stream` or `await stream.close()`",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )

    async def _leave(self, cause: str) -> None:
        """End it, if it has not ended, and give the connection back."""
        if self._end.receipt is None:
            self._end.left(cause)
        await self._upstream.close()


def _says_something(chunk: Any) -> bool:
    return not chunk.choices or any(
        choice.finish_reason or choice.delta.content for choice in chunk.choices
    )


def _close_dropped(end: StreamEnd, upstream: Upstream) -> None:
    """End a dropped stream in its loop; without a close the backend would work to its end."""
    if end.receipt is None:
        end.left("dropped")
    upstream.trial.run.passage.hold(upstream.close())
