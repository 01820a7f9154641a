"""Whether a backend has as much to do as it can take, and why, in words: its own limit of slots apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridllm._core.policy.hybrid import Saturation
    from hybridllm._core.telemetry.heard import Belief


def saturated_because(
    saturation: Saturation,
    belief: Belief,
    *,
    in_flight: int,
    kv_used: float | None,
    overdue: int,
    silent_s: float | None,
    frozen_s: float | None,
    asleep: bool,
) -> str:
    """Return why a backend is saturated; empty: it is not, as far as is known.

    Args:
        saturation: From when on it is, as its policy says.
        belief: What is believed of its queue.
        in_flight: Our requests under way there; exact, so it goes before all that is told.
        kv_used: Share of its KV cache in use; None: unknown.
        overdue: Of our requests, those that wait for a first token far longer than is usual.
        silent_s: How long it has told nothing, if it told something once and it is too long; None: not so.
        frozen_s: How long it has made no progress, if it is frozen; None: it is not.
        asleep: Whether it says that it sleeps.
    """
    most = saturation.in_flight_max
    if most is not None and in_flight >= most:
        return f"{in_flight} requests under way, {most} may be"
    if silent_s is not None:
        return f"nothing told for {silent_s:.0f} s"
    if asleep:
        return "it sleeps"
    if frozen_s is not None:
        return f"no progress for {frozen_s:.0f} s"
    if saturation.waiting_max is not None and (
        why := _queue(saturation.waiting_max, belief, overdue)
    ):
        return why
    share = saturation.kv_used_max
    if share is not None and kv_used is not None and kv_used >= share:
        return f"{kv_used:.0%} of its KV cache used"
    return ""


def _queue(waiting_max: int, belief: Belief, overdue: int) -> str:
    waiting = belief.waiting
    if waiting is not None and waiting > waiting_max:
        if overdue >= waiting:
            return f"{overdue} of our requests wait for a first token longer than usual"
        return f"about {max(1.0, waiting):.0f} waiting in its queue"
    return "no free slot known" if belief.full and waiting_max == 0 else ""
