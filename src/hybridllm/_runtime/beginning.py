"""The beginning of a stream, read before anybody is told of it: up to its first token, or all of it."""

from __future__ import annotations

from collections import deque
from typing import Any

from hybridllm._core.resilience.outcome import FailureKind
from hybridllm._runtime.ports import Clock
from hybridllm._runtime.upstream import Upstream

HELD_MAX = 1_024
"""Chunks without output that are kept for the caller, the latest."""
WHOLE_MAX = 1 << 20
"""Chunks of an answer that is read whole."""


async def first_chunks(
    upstream: Upstream, *, clock: Clock, until_s: float, deadline_at_s: float
) -> deque[Any]:
    """Read up to the first semantic token, or the whole answer if it has none; return it so far."""
    limit_s = until_s - clock.monotonic_s()
    held: deque[Any] = deque(maxlen=HELD_MAX)
    while not upstream.over and not upstream.state.tokens_seen:
        chunk = upstream.take()
        if chunk is not None:
            held.append(chunk)
        elif not upstream.over:
            await upstream.pull(
                limit_s=limit_s,
                kind=FailureKind.FIRST_TOKEN_TIMEOUT,
                deadline_at_s=deadline_at_s,
            )
    return held


async def read_whole(
    upstream: Upstream, held: deque[Any], *, idle_s: float, deadline_at_s: float
) -> deque[Any]:
    """Read the rest of an answer behind its first chunks, and return all of it."""
    whole = deque(held, maxlen=WHOLE_MAX)
    while not upstream.over:
        chunk = upstream.take()
        if chunk is not None:
            whole.append(chunk)
        elif not upstream.over:
            await upstream.pull(
                limit_s=idle_s, kind=FailureKind.IDLE_TIMEOUT, deadline_at_s=deadline_at_s
            )
    return whole
