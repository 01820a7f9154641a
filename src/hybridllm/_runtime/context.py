"""Hints for a block of code: `with context(tenant="acme"): ...`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from hybridllm._core.request.facts import Hints
from hybridllm._core.request.hints import CALL_ONLY, HINTS, checked_hints
from hybridllm.errors import InvalidRequest

_current: ContextVar[Hints | None] = ContextVar("hybridllm_hints", default=None)


def current_hints() -> Hints | None:
    """Return the hints of the enclosing `context` blocks, or None."""
    return _current.get()


@contextmanager
def context(**hints: Any) -> Iterator[None]:
    """Set hints for every request made inside the block; a call's own hints go before them.

    Blocks nest: an inner one adds to, or replaces, what the outer one set. Tasks started inside the
    block keep its hints.

    Args:
        **hints: Any of task, residency, tenant, feature, user_id, session, priority, deadline_s,
            max_cost_usd, tags, vector_space and metadata.

    Raises:
        InvalidRequest: If a hint is unknown or not of its type, or can only be said with a call.
    """
    for name in CALL_ONLY & hints.keys():
        raise InvalidRequest(
            f"{name}: is said with the call itself: whoever reads its stream must handle it"
        )
    outer = _current.get()
    kept = {} if outer is None else {n: v for n in HINTS if (v := getattr(outer, n)) is not None}
    kept |= {name: value for name, value in hints.items() if value is not None or name not in HINTS}
    token = _current.set(checked_hints(kept))
    try:
        yield
    finally:
        _current.reset(token)
