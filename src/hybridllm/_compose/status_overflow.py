"""What the overflows of a policy's routes have done, and do now: one row per route that has any."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._runtime.engine import Engine


@dataclass(frozen=True, slots=True)
class OverflowStatus:
    """A route with overflows, at one moment.

    Attributes:
        route: Its name.
        sources: Backends that it leaves; `to`: those that take what leaves.
        on: Whether requests leave now, or did within the last seconds.
        why: Why the first of them left, in words; empty: none do.
        on_for_s: For how long; None: none do.
        left: Requests that left, since this router began; `stayed`: those that did not.
        spells: How often requests began to leave.
    """

    route: str
    sources: tuple[str, ...]
    to: tuple[str, ...]
    on: bool = False
    why: str = ""
    on_for_s: float | None = None
    left: int = 0
    stayed: int = 0
    spells: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        told = f"{self.left} of {self.left + self.stayed} requests left, in {self.spells} spells"
        now = f"; ON for {self.on_for_s:.0f} s: {self.why}" if self.on_for_s is not None else ""
        return f"overflow of {self.route}: {', '.join(self.sources)} -> {', '.join(self.to)}; {told}{now}"


def overflow_rows(
    policy: Policy, engine: Engine | None, *, now_s: float
) -> tuple[OverflowStatus, ...]:
    """Return the routes that overflow, in the order of the policy; None: nothing was sent yet."""
    rows = []
    for route in policy.routes:
        if not route.overflows:
            continue
        sources = tuple(dict.fromkeys(name for one in route.overflows for name in one.sources))
        to = tuple(dict.fromkeys(name for one in route.overflows for name in one.to))
        tally = None if engine is None else engine.overflows.tallies.get(route.name)
        if tally is None:
            rows.append(OverflowStatus(route.name, sources, to))
            continue
        spell = tally.spell
        on = spell is not None and not spell.over(now_s)
        rows.append(
            OverflowStatus(
                route.name,
                sources,
                to,
                on=on,
                why=spell.why if spell is not None and on else "",
                on_for_s=round(now_s - spell.since_s, 1) if spell is not None and on else None,
                left=tally.left,
                stayed=tally.stayed,
                spells=tally.begun,
            )
        )
    return tuple(rows)
