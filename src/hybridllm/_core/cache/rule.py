"""What a route says of its response cache, and which requests it is for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridllm._core.request.read import Call

WHOLE = frozenset({"stop", "tool_calls", "function_call"})
"""How an answer ends that may be kept: one cut off by its limit, or withheld, is not."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A route's response cache.

    Attributes:
        ttl_s: How long an answer is kept.
        entries: How many are, at most; `size_bytes`: how large they are together, at most.
        always: Whether requests that are answered by chance (temperature above 0) are kept, too.
    """

    ttl_s: float
    entries: int
    size_bytes: int
    always: bool = False

    def takes(self, call: Call) -> bool:
        """Return whether a call's answer may be kept: equal requests are to get equal answers."""
        if self.always or call.operation != "chat":
            return True
        temperature = call.body.get("temperature")
        return (
            isinstance(temperature, int | float)
            and not isinstance(temperature, bool)
            and temperature == 0
        )


def whole(finish_reasons: Iterable[str | None]) -> bool:
    """Return whether every choice of an answer ended as one does that may be kept."""
    return all(reason in WHOLE for reason in finish_reasons)
