"""How long requests of a route have been leaving for others: one spell of overflow, from begin to end.

A single request that leaves begins a spell; it ends when none has left for `CALM_S`. In between requests go
both ways, since only the surplus leaves: a spell is what people want to hear of, not each request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

CALM_S = 5.0
"""A spell is over when nobody has left for so long."""


@dataclass(frozen=True, slots=True)
class Spell:
    """Requests leave, now and then.

    Attributes:
        since_s: When the first left, monotonic; `last_s`: the last.
        why: Of the first, in words.
        left: How many have left; `stayed`: how many were served where they were meant to be.
    """

    since_s: float
    last_s: float
    why: str
    left: int = 1
    stayed: int = 0

    def over(self, now_s: float) -> bool:
        """Return whether it has ended."""
        return now_s - self.last_s >= CALM_S


def after_decision(spell: Spell | None, *, left: bool, why: str, now_s: float) -> Spell | None:
    """Return the spell after one more request was decided; None: there is none, or it is over."""
    if spell is None or spell.over(now_s):
        return Spell(now_s, now_s, why) if left else None
    if left:
        return replace(spell, last_s=now_s, left=spell.left + 1)
    return replace(spell, stayed=spell.stayed + 1)
