"""What was told at several looks, and the rates that come of it: the difference of two looks.

The newest is compared with one some seconds before, so that figures do not jump with every answer. A counter
that has fallen began anew, and makes no rate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm.cli.status.values import Row, by_name, money, number
from hybridllm.cli.top.events import Event, changes

if TYPE_CHECKING:
    from hybridllm.cli.status.ask import Found

WINDOW_S = 5.0
"""Rates are those of the last seconds, or of the time between two looks if that is longer."""
EVENTS_MAX = 8

_HOUR_S = 3_600
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one backend; None: not known.

    Attributes:
        attempts_per_s: That ended.
        share: Of all attempts that ended meanwhile, 0 to 1.
        tokens_per_s: Prompt and completion tokens of those.
        usd_per_hour: At the prices of the attempts; machines of one's own are told beside it.
        usd_incomplete: Whether some of them may have cost something that is not known.
    """

    attempts_per_s: float | None = None
    share: float | None = None
    tokens_per_s: float | None = None
    usd_per_hour: Decimal | None = None
    usd_incomplete: bool = False


UNKNOWN = Rate()


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one process.

    Attributes:
        seconds: Between the two looks; None: it was looked at once so far.
        requests_per_s: That were decided.
        leaving: By route that overflows: the share of its requests that left, 0 to 1; None: none came.
    """

    seconds: float | None = None
    requests_per_s: float | None = None
    backends: dict[str, Rate] = field(default_factory=dict)
    leaving: dict[str, float | None] = field(default_factory=dict)

    @property
    def tokens_per_s(self) -> float | None:
        """Of all backends together."""
        known = [one.tokens_per_s for one in self.backends.values() if one.tokens_per_s is not None]
        return sum(known) if known else None

    @property
    def usd_per_hour(self) -> Decimal | None:
        """Of all attempts together."""
        known = [one.usd_per_hour for one in self.backends.values() if one.usd_per_hour is not None]
        return sum(known, Decimal(0)) if known else None

    @property
    def usd_incomplete(self) -> bool:
        """Whether something of it is not known."""
        return any(one.usd_incomplete for one in self.backends.values())

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; money is a text."""
        return {
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "requests_per_s": self.requests_per_s,
            "tokens_per_s": self.tokens_per_s,
            "usd_per_hour": _plain(self.usd_per_hour),
            "usd_incomplete": self.usd_incomplete,
            "backends": {
                name: asdict(one) | {"usd_per_hour": _plain(one.usd_per_hour)}
                for name, one in self.backends.items()
            },
            "leaving": dict(self.leaving),
        }


@dataclass(slots=True)
class Seen:
    """A process that was looked at.

    Attributes:
        told: What it told last.
        rates: Of its last seconds.
        events: What has changed since the first look, the latest last.
    """

    told: Row
    rates: Rates = field(default_factory=Rates)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=EVENTS_MAX))
    looks: deque[tuple[float, Row]] = field(default_factory=deque)


class Looks:
    """Everybody who was found at the last look.

    Attributes:
        processes: In the order in which they are shown.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, Seen] = {}
        self.processes: list[Seen] = []

    def add(self, found: Found, *, now_s: float, now_utc: datetime) -> None:
        """Look once more."""
        seen: dict[Key, Seen] = {}
        for socket, told in zip(found.sockets, found.processes, strict=True):
            key = (socket, str(told["pid"]), str(told["started_at"]))
            one = seen[key] = self._seen.get(key) or Seen(told)
            if one.looks:
                one.events += changes(one.told, told, now_utc)
            one.told = told
            one.looks.append((now_s, told))
            while len(one.looks) > 2 and one.looks[1][0] <= now_s - WINDOW_S:
                one.looks.popleft()
            if len(one.looks) > 1:
                (before_s, before), (after_s, after) = one.looks[0], one.looks[-1]
                one.rates = rates(before, after, after_s - before_s)
        self._seen = seen
        self.processes = list(seen.values())


def rates(before: Row, after: Row, seconds: float) -> Rates:
    """Return what a process did between two looks."""
    if seconds <= 0:
        return Rates()
    then, now = by_name(before, "backends", "backend"), by_name(after, "backends", "backend")
    attempts = {name: _more(then.get(name, {}), row, "attempts") for name, row in now.items()}
    total = sum(count for count in attempts.values() if count is not None)
    backends = {
        name: _rate(then.get(name, {}), row, attempts[name], total, seconds)
        for name, row in now.items()
    }
    requests = _more(before, after, "requests")
    routes = by_name(before, "overflows", "route")
    return Rates(
        seconds,
        None if requests is None else requests / seconds,
        backends,
        {
            name: _leaving(routes.get(name, {}), row)
            for name, row in by_name(after, "overflows", "route").items()
        },
    )


def _rate(then: Row, now: Row, attempts: float | None, total: float, seconds: float) -> Rate:
    if attempts is None:
        return UNKNOWN
    tokens_in, tokens_out = _more(then, now, "tokens_in"), _more(then, now, "tokens_out")
    known = tokens_in is not None and tokens_out is not None
    before, after = money(then, "cost_usd"), money(now, "cost_usd")
    spent = after - before if before is not None and after is not None else None
    return Rate(
        attempts / seconds,
        attempts / total if total else None,
        ((tokens_in or 0.0) + (tokens_out or 0.0)) / seconds if known else None,
        spent * _HOUR_S / Decimal(str(seconds)) if spent is not None and spent >= 0 else None,
        bool(_more(then, now, "cost_unknown")),
    )


def _leaving(then: Row, now: Row) -> float | None:
    left, stayed = _more(then, now, "left"), _more(then, now, "stayed")
    if left is None or stayed is None or not left + stayed:
        return None
    return left / (left + stayed)


def _more(then: Row, now: Row, name: str) -> float | None:
    """Return by how much a counter has grown; None: it is not known, or it began anew."""
    before, after = number(then, name), number(now, name)
    if before is None or after is None or after < before:
        return None
    return after - before


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount.normalize():f}"
