"""How the live conditions of a policy stand: what each looks at, and where it begins and ends to hold."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hybridllm._core.money.pico import PICO
from hybridllm._core.policy.hybrid import BreakEven, Measure, Volume
from hybridllm._runtime.crossings import condition_text

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy
    from hybridllm._runtime.crossings import Standing
    from hybridllm._runtime.volumes import Volumes


_SHARE_MAX = 1_000_000.0  # nothing that JSON cannot say


@dataclass(frozen=True, slots=True)
class VolumeStatus:
    """A condition on volume or break-even, at one moment.

    Attributes:
        condition: As the policy has it, in words.
        whose: The tenant or the task, if it is about a request's own and holds; else empty.
        holds: Whether it does.
        since: When it last changed, UTC; None: it never has.
        now: Tokens, requests or USD of its window; of a condition on days in a row, those of today so far; of
            break-even, the cost at APIs as a multiple of that of own machines. None: not known.
        enter: From where on it begins to hold; `exit`: where it ends to.
        days: Whole days in a row that have reached `enter`; None: it does not ask for any.
        days_needed: How many it asks for.
        share: Of the way to where it begins to hold; from 1 on it is there.
        text: Of break-even, the sums in words.
    """

    condition: str
    whose: str = ""
    holds: bool = False
    since: datetime | None = None
    now: float | None = None
    enter: float = 0.0
    exit: float = 0.0
    days: int | None = None
    days_needed: int | None = None
    share: float = 0.0
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; times are ISO 8601."""
        return asdict(self) | {"since": None if self.since is None else self.since.isoformat()}

    def __str__(self) -> str:
        whose = f" of {self.whose!r}" if self.whose else ""
        since = "" if self.since is None else f" since {self.since.isoformat(timespec='seconds')}"
        now = f"{'HOLDS' if self.holds else 'does not hold'}{since}"
        if self.text:
            return f"{self.condition}{whose}: {now}; {self.text}"
        told = "not known" if self.now is None else _number(self.now)
        if self.days is not None:
            told = f"{self.days} of {self.days_needed} days in a row, today so far {told}"
        bounds = f"begins at {_number(self.enter)}, ends at {_number(self.exit)}"
        return f"{self.condition}{whose}: {now}; {told}; {bounds}"


def volume_rows(policy: Policy, volumes: Volumes | None) -> tuple[VolumeStatus, ...]:
    """Return how the policy's live conditions stand; None: nothing is counted yet."""
    if volumes is None:
        return tuple(
            VolumeStatus(condition_text(one), enter=_enter(one), exit=_exit(one))
            for one in policy.live
        )
    return tuple(map(_row, volumes.standings()))


def _row(standing: Standing) -> VolumeStatus:
    condition, reading = standing.condition, standing.reading
    now, weighed = reading.now, reading.weighed
    sustained = condition.sustained_days if isinstance(condition, Volume) else 0
    if now is not None and isinstance(condition, Volume) and condition.measure is Measure.USD:
        now /= PICO
    return VolumeStatus(
        condition_text(condition),
        standing.whose,
        standing.holds,
        standing.since,
        _finite(now),
        _enter(condition),
        _exit(condition),
        days=(0 if reading.row is None else reading.row.days) if sustained else None,
        days_needed=sustained or None,
        share=round(min(standing.share, _SHARE_MAX), 4),
        text="" if weighed is None else weighed.text,
    )


def _number(value: float) -> str:
    """Show tokens, requests or USD to people."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _enter(condition: Volume | BreakEven) -> float:
    if isinstance(condition, Volume):
        return float(condition.enter)
    return 1 + condition.margin if condition.above else 1 - condition.margin


def _exit(condition: Volume | BreakEven) -> float:
    if isinstance(condition, Volume):
        return float(condition.exit)
    return 1 - condition.margin if condition.above else 1 + condition.margin
