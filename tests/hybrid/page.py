"""Put measured tables into docs/hybrid.md, between its marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hybrid.bursts import Burst, BurstFigures
from hybrid.sleeps import SleepFigures

DOCS = Path(__file__).parents[2] / "docs"
_PAGE = DOCS / "hybrid.md"
_BETWEEN = re.compile(r"(<!-- measured: nox -s hybrid -->\n).*?(<!-- end -->)", re.DOTALL)
Row = tuple[Burst, int, BurstFigures]
_COLUMNS = (
    "overflow when",
    "metrics",
    "left",
    "ideal",
    "first token p99",
    "last to leave, after the end",
    "flips",
    "`phi` elsewhere",
    "`phi` waited at most",
    "most in its queue",
)
_HEAD = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}\n"


def line(burst: Burst, seed: int, found: BurstFigures) -> str:
    """Return one run in one line."""
    return (
        f"{burst.when:34} {burst.metrics:28} seed {seed}: left {found.share:.3f} of ideal "
        f"{found.ideal:.3f}, p99 {found.first_token_p99_s:.2f} s, back {found.back_s:4.1f} s, flips "
        f"{found.flips}, phi out {found.phi_out}, waited {found.phi_wait_s:.2f} s {found.phi_errors}, "
        f"queue {found.queued_max}, calm {found.calm_left}, answered {found.answered:.3f}"
    )


def slept_line(found: SleepFigures) -> str:
    """Return the cold start in one line."""
    told = ", ".join(found.phi_told)
    return (
        f"cold start: answered {found.answered:.3f}, first token at most {found.first_token_max_s:.2f} s, "
        f"awake after {found.awake_s:.1f} s, all back at {found.all_back_s:.1f} s, asked asleep "
        f"{found.asked_asleep} times; phi out {found.phi_out}, told {told} after {found.phi_wait_s:.3f} s"
    )


def write(rows: Sequence[Row], slept: SleepFigures) -> None:
    """Replace what was measured before."""
    seeds = max(seed for _, seed, _ in rows)
    runs = [_row(rows[place : place + seeds]) for place in range(0, len(rows), seeds)]
    told = ", ".join(f"`{one}`" for one in slept.phi_told)
    tables = (
        f"{_HEAD}{''.join(runs)}\n"
        f"Each row is {seeds} runs with different traffic; where they differ, the worst of them counts. The "
        "metrics are at fault from the middle of the calm on.\n\n"
        f"A cold start of 15 s, 10 requests/s: of those that may leave {slept.answered:.1%} are answered, "
        f"their first tokens after at most {slept.first_token_max_s:.2f} s; the machine answers again after "
        f"{slept.awake_s:.1f} s, and from {slept.all_back_s:.1f} s on everything; asleep it was asked "
        f"{slept.asked_asleep} times, by the first request and by probes. `phi` was told {told} after at "
        f"most {slept.phi_wait_s * 1e3:.0f} ms, and {slept.phi_out} of its attempts went to the API.\n"
    )
    text = _PAGE.read_text(encoding="utf-8")
    found, count = _BETWEEN.subn(lambda mark: f"{mark[1]}\n{tables}\n{mark[2]}", text)
    if count != 1:
        raise ValueError(f"{_PAGE} has no place for the tables")
    _PAGE.write_text(found, encoding="utf-8")


def _row(rows: Sequence[Row]) -> str:
    burst, found = rows[0][0], [one for _, _, one in rows]
    worst = max(found, key=lambda one: abs(one.share / one.ideal - 1))
    cells = (
        f"`{burst.when}`",
        burst.metrics,
        f"{worst.share:.1%}",
        f"{worst.ideal:.1%}",
        f"{max(one.first_token_p99_s for one in found):.2f} s",
        f"{max(one.back_s for one in found):.1f} s",
        str(max(one.flips for one in found)),
        str(max(one.phi_out for one in found)),
        f"{max(one.phi_wait_s for one in found):.2f} s",
        str(max(one.queued_max for one in found)),
    )
    return f"| {' | '.join(cells)} |\n"
