"""The bars of the specification, and which figures met them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from survive.figures import Figures, quantile
from survive.matrix import BROWN_OUT, DEAD, MISLEADING
from survive.worlds import FIRST_TOKEN_LIMIT_S, SLOW_TO_TELL

FAST_RATE = 100.0  # the specification's load
MINUTE_S = 60.0
LOOK_S = 0.1  # breakers are looked at so often


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        key: Of the specification, `G1`.
        met: None: not measured here.
    """

    key: str
    what: str
    bar: str
    figure: str
    met: bool | None


def bars(all_figures: Sequence[Figures]) -> list[Bar]:
    """Judge what the simulations have shown."""
    return [
        *_amplification(all_figures),
        *_success(all_figures),
        *_failover(all_figures),
        *_recovery(all_figures),
        *_outage(all_figures),
        *_odd(all_figures),
    ]


def bound(figures: Figures) -> float:
    """Return how many attempts the published bound allows: `_core/resilience/budget.py` says why."""
    return 1.2 * figures.requests + figures.cell.end_s + 50


def _amplification(found: Sequence[Figures]) -> list[Bar]:
    worst = max(found, key=lambda f: f.attempts - bound(f))
    room = bound(worst) - worst.attempts
    # What a hang costs is a limit's worth of requests, once: it takes a minute to see the share.
    busy = [
        f
        for f in found
        if f.cell.struck == 1
        and f.cell.fault in DEAD
        and f.cell.rate >= 20
        and f.cell.fault_s >= MINUTE_S
    ]
    rows = [
        Bar(
            "G1",
            f"attempts, any fault, {sum(f.requests for f in found):,} requests",
            "at most 1.2 per request + 1 per second + 50",
            f"{worst.attempts:,} of {bound(worst):,.0f} allowed ({_where(worst)})",
            room >= 0,
        )
    ]
    if busy:
        most = max(busy, key=lambda f: f.amplification)
        rows.append(
            Bar(
                "G1",
                "attempts per request, one backend dead for a minute, from 20/s on",
                "at most 1.02",
                f"{most.amplification:.3f} ({_where(most)})",
                most.amplification <= 1.02,
            )
        )
    return rows


def _success(found: Sequence[Figures]) -> list[Bar]:
    one = [f for f in found if f.cell.struck == 1 and f.cell.fault in (*DEAD, "slow x10")]
    two = [f for f in found if (f.cell.struck, f.cell.of) == (2, 3)]
    fifth, half = _all_three(found, "20 % errors"), _all_three(found, "50 % errors")
    rows = [
        _share("G2", "answered, one backend dead in 7 ways", one, 0.9999),
        _share("G2", "answered, two of three dead", two, 0.9995),
        _least("G3", "answered, all three at 20 % errors", fifth, 0.95),
        _least("N15", "answered, all three at 50 % errors", half, 0.55),
    ]
    asked = [f for f in fifth if f.cell.rate == BROWN_OUT[3] and f.cell.fault_s >= MINUTE_S]
    if asked:
        most = max(f.amplification for f in asked)
        rows.append(
            Bar(
                "N15",
                "attempts per request in that, 200/s",
                "at most 1.22",
                f"{most:.3f}",
                most <= 1.22,
            )
        )
    return rows


def _failover(found: Sequence[Figures]) -> list[Bar]:
    dead = [f for f in found if f.cell.fault in DEAD and f.cell.struck < f.cell.of]
    quick = [f for f in dead if f.cell.fault not in SLOW_TO_TELL]
    slow = [f for f in dead if f.cell.fault in SLOW_TO_TELL and f.cell.struck == 1]
    one = [f for f in found if f.cell.struck == 1 and f.cell.rate == FAST_RATE and f.cell.of == 3]
    told = [f for f in one if f.cell.fault in DEAD]
    limit_s = FIRST_TOKEN_LIMIT_S
    return [
        _most("G4", "failing over, quick faults, p99", quick, "failover_p99_s", 0.05),
        _most("G4", "failing over, hangs, p99", slow, "failover_p99_s", limit_s + 0.05),
        _most(
            "G4",
            "breaker open, quick faults, 100/s",
            [f for f in told if f.cell.fault not in SLOW_TO_TELL],
            "trip_s",
            0.5 + LOOK_S,
        ),
        _most(
            "G4",
            "breaker open, hangs, 100/s",
            [f for f in told if f.cell.fault in SLOW_TO_TELL],
            "trip_s",
            limit_s + 0.5 + LOOK_S,
        ),
    ]


def _recovery(found: Sequence[Figures]) -> list[Bar]:
    there = [f for f in found if f.cell.rate >= 2 and f.cell.fault != "flapping"]
    back = [f for f in there if f.cell.fault not in MISLEADING]
    misled = [f for f in there if f.cell.fault in MISLEADING]
    blind = _p99(
        "G5", "breakers closed where the health page says nothing, p99", misled, "closed_s", 36
    )
    return [
        blind,
        _p99("G5", "share back after healing, from 2/s on, p99", back, "back_s", 10.0),
        _p99("G5", "breakers closed after healing, from 2/s on, p99", back, "closed_s", 10.0),
    ]


def _outage(found: Sequence[Figures]) -> list[Bar]:
    dead = [f for f in _all_three(found, "refuse") if f.cell.rate >= 20]
    long = [f for f in dead if f.load is not None]
    rows = [_most("G6", "error in a total outage, p99", dead, "error_p99_s", 0.010)]
    if long:
        rows.append(_most("G6", "load upstream from the 60th second on", long, "load", 0.5))
    return rows


def _odd(found: Sequence[Figures]) -> list[Bar]:
    slow = [f for f in found if f.cell.fault == "slow x10" and f.cell.rate >= 20]
    flapping = [f for f in found if f.cell.fault == "flapping"]
    rows = [_most("N17", "share of a backend that is 10 times as slow", slow, "ill_share", 0.10)]
    rows.append(_share("N16", "answered, one backend flapping", flapping, 0.999))
    if flapping:
        most = max(flapping, key=lambda f: f.transitions / (f.cell.fault_s / 10))
        each = most.transitions / (most.cell.fault_s / 10)
        # Three phases make a cycle of three; the specification counts opening and closing.
        rows.append(
            Bar(
                "N16",
                "changes of phase in each 10 s, one backend flapping",
                "at most 4",
                f"{each:.1f} ({_where(most)})",
                each <= 4,
            )
        )
    return rows


def _all_three(found: Iterable[Figures], fault: str) -> list[Figures]:
    return [f for f in found if f.cell.fault == fault and f.cell.struck == f.cell.of]


def _share(key: str, what: str, chosen: Sequence[Figures], bar: float) -> Bar:
    """Of all requests together."""
    asked, answered = sum(f.asked for f in chosen), sum(f.answered for f in chosen)
    share = answered / asked if asked else 1.0
    worst = min(chosen, key=lambda f: f.success, default=None)
    where = (
        ""
        if worst is None or worst.success == 1
        else f"; worst {_percent(worst.success)} {_where(worst)}"
    )
    return Bar(
        key,
        what,
        f"at least {_percent(bar)}",
        f"{_percent(share)} of {asked:,}{where}",
        share >= bar if asked else None,
    )


def _least(key: str, what: str, chosen: Sequence[Figures], bar: float) -> Bar:
    """Of the worst simulation."""
    worst = min(chosen, key=lambda f: f.success, default=None)
    if worst is None:
        return Bar(key, what, f"at least {_percent(bar)}", "-", None)
    figure = f"{_percent(worst.success)} ({_where(worst)})"
    return Bar(key, what, f"at least {_percent(bar)}", figure, worst.success >= bar)


def _most(key: str, what: str, chosen: Iterable[Figures], name: str, bar: float) -> Bar:
    """Of the worst simulation that has such a figure."""
    there = [f for f in chosen if getattr(f, name) is not None]
    said = f"at most {_said(bar, name)}"
    if not there:
        return Bar(key, what, said, "never seen", None)
    worst = max(there, key=lambda f: getattr(f, name))
    value = getattr(worst, name)
    return Bar(key, what, said, f"{_said(value, name)} ({_where(worst)})", value <= bar + 1e-6)


def _p99(key: str, what: str, chosen: Iterable[Figures], name: str, bar: float) -> Bar:
    there = [f for f in chosen if getattr(f, name) is not None]
    said = f"at most {_said(bar, name)}"
    if not there:
        return Bar(key, what, said, "never seen", None)
    value = quantile([getattr(f, name) for f in there], 0.99) or 0.0
    worst = max(there, key=lambda f: getattr(f, name))
    longest = f"longest {_said(getattr(worst, name), name)} ({_where(worst)})"
    figure = f"{_said(value, name)} of {len(there)}; {longest}"
    return Bar(key, what, said, figure, value <= bar)


def _where(figures: Figures) -> str:
    cell = figures.cell
    return f"{cell.name}, {cell.rate:g}/s, seed {cell.seed}"


def _said(value: float, name: str) -> str:
    if not name.endswith("_s"):
        return f"{value:.2f}" if name == "load" else _percent(value)
    if value == math.inf:
        return "never"
    return f"{value * 1000:.0f} ms" if value < 0.2 else f"{value:.2f} s"


def _percent(share: float) -> str:
    return f"{100 * share:.3f}".rstrip("0").rstrip(".") + " %"
