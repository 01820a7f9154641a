"""Asking a cheaper model first while its answers agree: an order of those who may be asked, no more."""

from __future__ import annotations

from dataclasses import replace

from hybridllm._core.decide.plan import Kept
from hybridllm._core.policy.shadow import Shadow

WORDS = "; goes first: parity holds (shadow)"


def shifted(kept: tuple[Kept, ...], shadow: Shadow | None) -> tuple[Kept, ...]:
    """Return the same candidates, those of the shadow's model before all others; nobody is added."""
    if shadow is None:
        return kept
    first = [
        replace(one, fallback=False, reason=one.reason + WORDS)
        for one in kept
        if one.candidate.model.name == shadow.model
    ]
    rest = [one for one in kept if one.candidate.model.name != shadow.model]
    return tuple(first + rest)
