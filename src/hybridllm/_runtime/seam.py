"""What an attempt has to know that goes on for a stream that broke."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hybridllm._core.request.read import Call
from hybridllm._core.resilience.seams import Said
from hybridllm._runtime.ports import ChunkReader
from hybridllm.errors import RequestFailed


def _as_it_is(codec: ChunkReader) -> ChunkReader:
    return codec


@dataclass(frozen=True, slots=True)
class Seam:
    """Where a stream broke that somebody is to go on for.

    Attributes:
        asked: The call as its caller made it; the run's own may ask for the rest of an answer.
        gave_up: Settles the request if nobody can, for the reason given in words, and returns what its reader
            is told.
        barred: Who of the plan cannot, by their places.
        said: What the reader keeps of the answer so far; nothing if it begins anew.
        first_token_s: From the request to the first token of what the reader keeps; None: it keeps nothing.
        reader: Wraps the codec of the next attempt.
    """

    asked: Call = field(repr=False)
    gave_up: Callable[[str], RequestFailed]
    barred: frozenset[int] = frozenset()
    said: Said = field(default_factory=Said)
    first_token_s: float | None = None
    reader: Callable[[ChunkReader], ChunkReader] = _as_it_is
