"""Which routes overflow now: what one decision has found out for the next, and for people.

Told of every decision on a route with overflows. Owns who is hot, and the spells; no rule.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from hybridllm._core.decide.overflow import Left, Source
from hybridllm._core.resilience.spell import Spell, after_decision

_logger = logging.getLogger("hybridllm")


@dataclass(slots=True)
class Tally:
    """Of one route, since this router began.

    Attributes:
        left: Requests that were meant to leave; `stayed`: all others.
        begun: Spells of overflow.
    """

    left: int = 0
    stayed: int = 0
    begun: int = 0
    spell: Spell | None = None


class Overflows:
    """The overflows of the policy in force.

    Args:
        now_s: The clock's monotonic seconds.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._tallies: dict[str, Tally] = {}
        self.hot: frozenset[Source] = frozenset()

    def note(self, route: str, left: Left) -> None:
        """Learn from a decision."""
        if left.cooled or not left.hot <= self.hot:
            self.hot = (self.hot - left.cooled) | left.hot
        tally = self._tallies.get(route)
        if tally is None:
            tally = self._tallies[route] = Tally()
        leaves = bool(left.to)
        if leaves:
            tally.left += 1
        else:
            tally.stayed += 1
        if leaves or tally.spell is not None:
            self._follow(route, tally, left.why, leaves=leaves)

    def _follow(self, route: str, tally: Tally, why: str, *, leaves: bool) -> None:
        before = tally.spell
        tally.spell = after = after_decision(before, left=leaves, why=why, now_s=self._now_s())
        if before is not None and (after is None or after.since_s != before.since_s):
            _ended(route, before)
        if after is not None and (before is None or after.since_s != before.since_s):
            tally.begun += 1
            _logger.info("route %s overflows: %s", route, why)

    def keep(self, routes: Collection[str]) -> None:
        """Forget all routes but these, and who was hot: another policy may have moved the overflows."""
        self.hot = frozenset()
        for route in self._tallies.keys() - set(routes):
            del self._tallies[route]

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """By route, of those that were decided on."""
        return self._tallies


def _ended(route: str, spell: Spell) -> None:
    _logger.info(
        "route %s is back: %d requests left in %.1f s, %d stayed",
        route,
        spell.left,
        spell.last_s - spell.since_s,
        spell.stayed,
    )
