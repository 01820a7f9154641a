"""What the first act shows: who answers, and how requests fare while a region is down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hybridllm.cli.demo.drawing import WIDE, Row, bar, head, table
from hybridllm.cli.demo.outage.act import Phase
from hybridllm.cli.demo.outage.world import KILLED, REGIONS
from hybridllm.cli.demo.tally import RECENT_S, Ending, Line
from hybridllm.cli.output import percent, seconds, usd
from hybridllm.cli.quantiles import quantile

if TYPE_CHECKING:
    from hybridllm.cli.demo.outage.world import World
    from hybridllm.cli.demo.run import Course

_WEATHER = {
    str(Phase.HEALTHY): ("All backends are up.", "green"),
    str(Phase.OUTAGE): (
        f"{KILLED} is DOWN: its port is closed, its connections were reset.",
        "bold red",
    ),
    str(Phase.RECOVERED): (f"{KILLED} is back.", "green"),
}


def picture(course: Course, world: World, width: int) -> RenderableType:
    """Return everything that there is to see; in a narrow terminal, the most telling columns of it."""
    wide = width >= WIDE
    grid = Table.grid(padding=(0, 6, 0, 0))
    grid.add_row(_tenants(course), _models(course))
    return Group(
        *(head(course, *_WEATHER[course.phase]), Text()),
        *(_backends(course, world, wide=wide), Text()),
        *(_phases(course, wide=wide), Text()),
        grid,
    )


def _backends(course: Course, world: World, *, wide: bool) -> Table:
    """Return what each backend did, and does now."""
    lines = course.tally.by_backend(now_s=course.now_s)
    total = sum(line.count for line in lines.values())
    recent = sum(line.recent for line in lines.values())
    rows: list[Row] = []
    for name, region in REGIONS.items():
        line = lines.get(name, Line())
        up = world.is_up(name)
        rows.append(
            {
                "simulated backend": name,
                "region": region,
                "state": Text("up", style="green") if up else Text("DOWN", style="bold red"),
                "answered": str(line.count),
                "share": percent(line.count, total),
                "failures": str(line.failed),
                "p50": seconds(quantile(line.durations_s, 0.5)),
                "p99": seconds(quantile(line.durations_s, 0.99)),
                "cost": usd(line.cost_usd),
                f"last {RECENT_S:.0f} s": bar(
                    line.recent / recent if recent else 0.0, 20 if wide else 10
                ),
            }
        )
    return table(rows, hidden=() if wide else ("region", "p50", "p99"))


def _phases(course: Course, *, wide: bool) -> Table:
    """Return how requests fared, by the phase in which they began."""
    tally = course.tally
    rows: list[Row] = []
    for phase in Phase:
        failed = tally.count(Ending.UNEXPECTED, phase)
        rows.append(
            {
                "requests sent while": Text(
                    phase.value, style="bold" if phase is course.phase else ""
                ),
                "answered": str(tally.count(Ending.ANSWERED, phase)),
                "failovers": str(tally.switches("failover", phase)),
                "fallbacks": str(tally.switches("fallback", phase)),
                "cut": str(tally.count(Ending.CUT, phase)),
                "denied": str(tally.count(Ending.DENIED, phase)),
                "failed": Text(str(failed), style="bold red" if failed else ""),
                "p50": seconds(quantile(tally.durations_s(phase), 0.5)),
                "p99": seconds(quantile(tally.durations_s(phase), 0.99)),
                "1st token": seconds(quantile(tally.first_tokens_s(phase), 0.5)),
            }
        )
    return table(rows, hidden=() if wide else ("fallbacks", "denied", "1st token"))


def _tenants(course: Course) -> Table:
    """Return what each tenant asked and paid."""
    return table(
        [
            {"tenant": name, "requests": str(line.count), "cost": usd(line.cost_usd)}
            for name, line in course.tally.by_tenant().items()
        ]
    )


def _models(course: Course) -> Table:
    """Return what each model was asked and cost."""
    return table(
        [
            {"model": name, "attempts": str(line.count), "cost": usd(line.cost_usd)}
            for name, line in course.tally.by_model().items()
        ]
    )
