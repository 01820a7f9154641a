"""How many requests a backend works on at once, as far as that was seen: nobody tells it.

A server of language models has slots, and says how many are taken, not how many there are. Where requests
wait although the KV cache has room, all slots are taken: that many there are. Two reports must agree, because
a burst of long prompts waits a moment before it runs; and a full KV cache says nothing of slots, for it sends
running requests back into the queue.

What was seen may have been too little, so it grows while it is all in use and nobody waits: by one, then by
two, by four, until somebody waits. Time comes in as `now_s`; nothing here knows whose requests they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

GROWS_EVERY_S = 10.0
FORGOTTEN_AFTER_S = 600.0
KV_PRESSED = 0.8
"""From this share of the KV cache on, it is what requests may be waiting for."""


@dataclass(frozen=True, slots=True)
class Room:
    """What was seen of a backend's slots.

    Attributes:
        size: How many there are; None: not seen.
        proven: The most that ran while nobody waited: there are at least so many.
        seen_at_s: When that was last seen, or grew.
        step: By how much it grows next.
        full: How many ran in the last report, if others waited then.
        own: Whether the last that was looked at were our own overdue requests.
    """

    size: float | None = None
    seen_at_s: float = 0.0
    step: float = 1.0
    full: float | None = None
    own: bool = False
    proven: float = 0.0


UNSEEN = Room()


def after_report(
    room: Room, running: float, waiting: float, kv_used: float | None, now_s: float
) -> Room:
    """Return what is known after a report."""
    room = _remembered(room, now_s)
    if waiting > 0:
        if kv_used is not None and kv_used >= KV_PRESSED:
            return replace(room, full=None)
        if room.full is not None and abs(running - room.full) <= 1:
            size = max(1.0, running, room.full)
            return Room(size, now_s, full=running, proven=room.proven)
        return replace(room, full=running)
    proven = max(room.proven, running)
    if room.size is None:
        return Room(proven=proven)
    if running > room.size:
        return Room(running, now_s, room.step, proven=proven)
    if running == room.size and now_s - room.seen_at_s >= GROWS_EVERY_S:
        return Room(room.size + room.step, now_s, room.step * 2.0, proven=proven)
    return replace(room, full=None, proven=proven)


def after_overdue(room: Room, running: float, now_s: float) -> Room:
    """Return what is known where nobody can be believed and our own requests wait for first tokens.

    Args:
        room: Before.
        running: Of our own, that have one: so many slots there are at least, and hardly more.
        now_s: Monotonic.
    """
    seen = max(1.0, running)
    if room.own and room.size is not None:
        return room if seen <= room.size else replace(room, size=seen, seen_at_s=now_s)
    return Room(seen, now_s, own=True)


def after_calm(room: Room, in_flight: float, now_s: float) -> Room:
    """Return what is known where nobody can be believed and none of our requests is overdue."""
    room = _remembered(room, now_s)
    size = room.size
    if size is None:
        return room
    if in_flight >= size and now_s - room.seen_at_s >= GROWS_EVERY_S:
        return Room(size + room.step, now_s, room.step * 2.0)
    return replace(room, own=False) if room.own else room


def _remembered(room: Room, now_s: float) -> Room:
    if room.size is not None and now_s - room.seen_at_s > FORGOTTEN_AFTER_S:
        return UNSEEN
    return room
