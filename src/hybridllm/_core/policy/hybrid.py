"""What a policy says of own machines and of leaving them, made ready: capacity, load, overflow, cold start.

Values only. Whether an overflow holds is judged in `decide/overflow.py`; what a capacity costs a token, in
`money/capacity.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

DAYS_A_MONTH = Decimal("30.4375")
"""Of 365.25 / 12: a month in which costs per month and volumes per day are compared."""
HOURS_A_MONTH = DAYS_A_MONTH * 24


@dataclass(frozen=True, slots=True)
class Saturation:
    """From when on a backend has as much to do as it can take; None: that is not looked at.

    Attributes:
        in_flight_max: Our own requests under way there; from so many on it is saturated.
        waiting_max: Requests that wait in its queue, as it tells; more than so many and it is saturated.
        kv_used_max: Share of its KV cache in use, 0 to 1; from there on it is saturated.
        stale_after_s: What it told longer ago is not believed: it counts as saturated.
    """

    in_flight_max: int | None = None
    waiting_max: int | None = 0
    kv_used_max: float | None = 0.9
    stale_after_s: float = 5.0

    def __str__(self) -> str:
        told = {
            "{} requests under way": self.in_flight_max,
            "more than {} waiting": self.waiting_max,
            "{} % of its KV cache": None
            if self.kv_used_max is None
            else f"{self.kv_used_max * 100:g}",
        }
        words = [form.format(value) for form, value in told.items() if value is not None]
        return " or ".join([*words, f"nothing told for {self.stale_after_s:g} s"])


DEFAULT_SATURATION = Saturation()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a backend of one's own costs, whatever it does, and how much it can do.

    Attributes:
        usd_per_month: Machines, all together.
        hidden_usd_per_month: What comes on top: people, monitoring, power.
        tokens_per_s: Prompt and completion tokens that it can process; None: only what was measured.
        elastic: True if machines are given back when idle, so that every token costs its share of an hour.
    """

    usd_per_month: Decimal
    hidden_usd_per_month: Decimal = Decimal(0)
    tokens_per_s: float | None = None
    elastic: bool = False

    def __str__(self) -> str:
        told = [f"{self.usd_per_month:,.2f} USD a month"]
        if self.hidden_usd_per_month:
            told.append(f"{self.hidden_usd_per_month:,.2f} USD on top")
        if self.tokens_per_s is not None:
            told.append(f"{self.tokens_per_s:,.0f} tokens/s")
        return ", ".join([*told, "given back when idle"] if self.elastic else told)


@dataclass(frozen=True, slots=True)
class ColdStart:
    """A backend that may sleep.

    Attributes:
        takes_s: From waking to its first answer, as its owner expects.
        wake_url: Asked (POST) to wake it; None: nobody is asked, the first request does it.
        wake_at: Share of a volume threshold at which it is woken ahead; 1: not ahead.
        waits: True if requests that only it may answer wait for it; False: they fail with `WarmingUp`.
    """

    takes_s: float
    wake_url: str | None = None
    wake_at: float = 0.8
    waits: bool = False

    def __str__(self) -> str:
        woken = f", woken by {self.wake_url}" if self.wake_url is not None else ""
        ahead = f", from {self.wake_at * 100:g} % of a volume on" if self.wake_at < 1 else ""
        return (
            f"{self.takes_s:g} s{woken}{ahead}, {'waited for' if self.waits else 'not waited for'}"
        )


class Trigger(StrEnum):
    """What makes requests leave a backend."""

    SATURATED = "saturated"
    PREDICTED_WAIT = "predicted_wait_ms"
    KV_CACHE = "kv_cache_pct"
    IN_FLIGHT = "inflight"
    RATE_LIMITED = "rate_limited"
    OUTAGE = "outage"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason to overflow.

    Attributes:
        trigger: Of which kind.
        above: Of a trigger that is a number: from more than this on (milliseconds, percent or requests);
            of a budget: USD.
        per: Of a budget, the window: `day` or `month`; None: only what the backend says itself.
    """

    trigger: Trigger
    above: float | None = None
    per: str | None = None

    def __str__(self) -> str:
        if self.above is None:
            return self.trigger.value
        if self.per is not None:
            return f"{self.trigger.value} {self.above:g} USD per {self.per}"
        return f"{self.trigger.value} gt {self.above:g}"


@dataclass(frozen=True, slots=True)
class Overflow:
    """Leaving backends that have too much to do for others, and coming back.

    Attributes:
        sources: Backends that are left. A request leaves only if all of them that it may use are hot.
        to: Backends that take what leaves; asked after `sources` as long as one of those is not hot.
        causes: Any one is enough.
        queue_s: How long a request that may not leave waits for a slot; None: as its priority says.
        bounds: Those of the causes that are a number above a bound.
        ranks: Of those that it leaves, 0, and of those that it goes to, 1.
    """

    sources: tuple[str, ...]
    to: tuple[str, ...]
    causes: tuple[Cause, ...]
    queue_s: float | None = None
    bounds: tuple[Cause, ...] = field(init=False, repr=False, compare=False)
    ranks: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounds", tuple(c for c in self.causes if c.above is not None))
        ranks = dict.fromkeys(self.sources, 0) | dict.fromkeys(self.to, 1)
        object.__setattr__(self, "ranks", MappingProxyType(ranks))

    def __str__(self) -> str:
        causes = " or ".join(map(str, self.causes))
        return (
            f"from {', '.join(self.sources)} to {', '.join(self.to)} when {causes}{self.queue_text}"
        )

    @property
    def queue_text(self) -> str:
        """How long a request waits that may not leave, in words; empty: it is not said."""
        return "" if self.queue_s is None else f", queue {self.queue_s * 1_000:g} ms"


MARGIN = 0.1
BREAK_EVEN_DWELL_S = 86_400.0
_EXIT_SHARE = Decimal("0.1")
_DWELL_S = 60.0
_SUSTAINED_DWELL_S = 86_400.0


def default_exit(enter: Decimal, *, below: bool) -> Decimal:
    """Return where a volume ends to hold unless the policy says: a tenth past its threshold."""
    return enter * (1 + _EXIT_SHARE if below else 1 - _EXIT_SHARE)


def default_dwell_s(sustained_days: int) -> float:
    """Return how long a volume stays as it is unless the policy says."""
    return _SUSTAINED_DWELL_S if sustained_days else _DWELL_S


class Measure(StrEnum):
    """What a volume counts."""

    TOKENS = "tokens"  # prompt and completion, as billed
    REQUESTS = "requests"
    USD = "usd"  # at the prices of the policy


class Window(StrEnum):
    """The time that a volume is counted over, up to now; a month is 30 UTC days, of which today is one."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Volume:
    """A condition: so much came in a window, and, if that is asked, on every day of a row of days.

    Attributes:
        measure: What is counted.
        window: Over which time; a volume per day with `sustained_days` looks at whole days.
        scope: `all`, `task`, `tenant` (the request's own), or `task:NAME`, `tenant:NAME`, `model:NAME`,
            `route:NAME`, `backend:NAME`.
        enter: It begins to hold at this much or more; `below`: at less than this much.
        exit: It ends to hold at less than this much (`below`: at this much or more).
        below: True if it is a condition on little volume.
        sustained_days: Whole days in a row that must each reach `enter`; 0: now is enough.
        min_dwell_s: For so long it stays as it is, once it has changed.
    """

    measure: Measure
    window: Window
    enter: Decimal
    exit: Decimal
    scope: str = "all"
    below: bool = False
    sustained_days: int = 0
    min_dwell_s: float = _DWELL_S
    fact: str = "volume"


@dataclass(frozen=True, slots=True)
class BreakEven:
    """A condition: what the traffic would cost at APIs is above (or below) what own machines cost.

    Attributes:
        above: Which of the two.
        backends: Whose capacity is weighed; empty: of all that declare one.
        margin: The share by which the API must cost more before it holds, and less before it ends to.
        min_dwell_s: For so long it stays as it is, once it has changed.
    """

    above: bool
    backends: tuple[str, ...] = ()
    margin: float = MARGIN
    min_dwell_s: float = BREAK_EVEN_DWELL_S
    fact: str = "break_even"
