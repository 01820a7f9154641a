"""What happens when a stream breaks whose caller said `on_interrupt`: another attempt, and a mark there.

Decides nothing about who is asked: that is the engine's one loop, by `next_step`, among the request's frozen
candidates. It sees to it that the broken attempt is settled before the next begins, that the next one knows
what the reader has, and that a stream that is closed meanwhile leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hybridllm._core.resilience.classify import invalid_response
from hybridllm._core.resilience.error_body import ErrorBody
from hybridllm._core.resilience.outcome import Failure, FailureKind
from hybridllm._core.resilience.seams import (
    Continued,
    Restarted,
    Said,
    continued,
    fresh_text,
    not_continuable_because,
    others_than_continuers,
)
from hybridllm._core.wire.stream_state import StreamState
from hybridllm._runtime.ports import ChunkReader
from hybridllm._runtime.run import Run
from hybridllm._runtime.seam import Seam
from hybridllm._runtime.stream import Stream
from hybridllm._runtime.stream_end import StreamEnd
from hybridllm._runtime.upstream import Upstream
from hybridllm.errors import HybridLLMError, RequestFailed, RouterClosed


class Resume:
    """Goes on for the stream of one request, as often as it breaks.

    Attributes:
        continues: True if the text is kept, and its rest is asked for; False if the answer begins anew.

    Args:
        run: The request.
        found_again: The engine's loop: another attempt or more, until one has begun or none may be made.
    """

    def __init__(self, run: Run, found_again: Callable[[], Awaitable[Any]]) -> None:
        self._run = run
        self._found_again = found_again
        self._asked = run.call
        self.continues = run.call.hints.on_interrupt == "continue"
        self._reader: asyncio.Task[Any] | None = None  # while it waits for another attempt
        self._stopped: asyncio.Future[None] | None = None
        self._cause = "closed"

    async def after(
        self, end: StreamEnd, upstream: Upstream
    ) -> tuple[Restarted | Continued, Stream] | None:
        """Go on for a stream that broke; None: nobody does, and `end` says what the reader is told.

        Raises:
            asyncio.CancelledError: If the reader is cancelled; what was begun has been given up.
        """
        task = asyncio.current_task()
        cancelling = task.cancelling() if task is not None else 0
        self._reader = task
        try:
            return await self._after(end, upstream)
        except asyncio.CancelledError:
            if self._stopped is None or task is None or task.uncancel() > cancelling:
                raise
            end.left(self._cause)
            return None
        finally:
            self._reader = None
            if self._stopped is not None:
                self._stopped.set_result(None)

    async def stop(self, cause: str = "closed") -> None:
        """Give up what is under way, because another task closes the stream; return once it is gone."""
        if self._reader is not None and self._stopped is None:
            self._cause = cause
            self._stopped = asyncio.get_running_loop().create_future()
            self._reader.cancel()
        if self._stopped is not None:
            await asyncio.shield(self._stopped)

    async def _after(
        self, end: StreamEnd, upstream: Upstream
    ) -> tuple[Restarted | Continued, Stream] | None:
        failure, run = upstream.failure, self._run
        if failure is None or failure.kind is FailureKind.ATTEMPT_TIMEOUT:
            end.broken(failure or invalid_response("it broke"))
            return None
        end.attempt_broken(failure)
        await upstream.close()
        said = end.said
        seam = self._seam(end, upstream, failure, said)
        if isinstance(seam, str):
            end.gave_up(failure, seam)
            return None
        run.failures.append((run.plan.kept.index(upstream.trial.kept), failure))
        run.seam, run.claimed = seam, False
        run.call = continued(self._asked, said) if self.continues else self._asked
        try:
            found: Stream = await self._found_again()
        except HybridLLMError as error:
            error.with_traceback(
                None
            )  # the frames hold the request, and the reader is to get the error
            if not run.settled:  # the router was closed meanwhile, or the rest cannot be asked for
                end.gave_up(
                    failure, "router_closed" if isinstance(error, RouterClosed) else "invalid"
                )
            return None
        kind = Continued if self.continues else Restarted
        return kind(found.backend, found.model, failure.label, said.text, said.tokens), found

    def _seam(self, end: StreamEnd, upstream: Upstream, failure: Failure, said: Said) -> Seam | str:
        """Return what the next attempt has to know, or in words why there can be none."""

        def gave_up(because: str) -> RequestFailed:
            return end.gave_up(failure, because)

        if not self.continues:
            return Seam(self._asked, gave_up)
        because = not_continuable_because(self._asked, said)
        if because is not None:
            return because
        barred = others_than_continuers(
            self._run.plan.kept, upstream.trial.kept.candidate.model.name
        )
        return Seam(
            self._asked,
            gave_up,
            barred,
            said,
            end.first_token_s,
            lambda codec: _Continuation(codec, said.space),
        )


class _Continuation:
    """Reads an attempt that goes on with a text: white space that the reader has does not come again.

    Of no use once new text is here; then it stands aside.
    """

    def __init__(self, codec: ChunkReader, space: str) -> None:
        self._codec = codec
        self._space = space
        self.chunk: Callable[[bytes, bytes], Any] = self._trimmed

    def _trimmed(self, event: bytes, data: bytes) -> Any:
        chunk = self._codec.chunk(event, data)
        if chunk.__class__ is Failure or chunk.__class__ is ErrorBody:
            return chunk
        text = False
        try:
            for choice in chunk.choices:
                delta = choice.delta
                if delta.content and choice.index == 0:
                    text = True
                    self._space, delta.content = fresh_text(self._space, delta.content)
                    if delta.content:
                        self.chunk = self._codec.chunk
            if not text and StreamState().feed(chunk):
                return invalid_response("the text was not continued with text")
        except (AttributeError, TypeError):  # a chunk of a lenient kind; who feeds on it will tell
            pass
        return chunk
