"""A stream whose answer was kept: its chunks, made anew for each caller."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from hybridllm._runtime.stream import Stream

if TYPE_CHECKING:
    from hybridllm._core.receipt import Receipt
    from hybridllm._runtime.kept_answers import Entry
    from hybridllm._runtime.ports import Codec
    from hybridllm._runtime.stay import Passage


class ReplayedStream(Stream):
    """Holds no connection, and belongs to no event loop: it may be left at any time."""

    def __init__(self, entry: Entry, codec: Codec, receipt: Receipt) -> None:
        self._events = deque(entry.body if not isinstance(entry.body, bytes) else ())
        self._entry = entry
        self._codec = codec
        self._receipt = receipt
        self._ended = False

    def hand_over(self, passage: Passage) -> None:
        """Nothing of it is under way."""

    @property
    def receipt(self) -> Receipt:
        """See `Stream.receipt`."""
        if not self._ended:
            raise LookupError("the stream has not ended; its receipt is there after the last chunk")
        return self._receipt

    @property
    def model(self) -> str:
        """The logical model that answered."""
        return self._entry.model

    @property
    def backend(self) -> str:
        """The backend that answered."""
        return self._entry.backend

    async def __anext__(self) -> Any:
        """The next chunk.

        Raises:
            StopAsyncIteration: At the end.
        """
        if self._events:
            return self._codec.chunk(*self._events.popleft())
        self._ended = True
        raise StopAsyncIteration

    async def close(self) -> None:
        """End the stream. Safe to call twice."""
        self._events.clear()
        self._ended = True

    def __del__(self) -> None:
        """Nothing is held."""
