"""Hints that a request without them takes from W3C baggage, where the policy says so.

What baggage says was chosen by whoever called the application, so only what looks like a name is taken; the
rest is left, as if it were not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from hybridllm._core.request.read import Call

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,63}")


def with_baggage(
    call: Call, wanted: tuple[tuple[str, str], ...], said: Callable[[str], object]
) -> Call:
    """Return the call with hints from baggage, where it has none of its own.

    Args:
        call: As it was read.
        wanted: (hint, key of the baggage).
        said: What the baggage says under a key; None: nothing.
    """
    found: dict[str, Any] = {}
    for hint, key in wanted:
        if getattr(call.hints, hint) is None:
            value = said(key)
            if isinstance(value, str) and _NAME.fullmatch(value):
                found[hint] = value
    return replace(call, hints=replace(call.hints, **found)) if found else call
