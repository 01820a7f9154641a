"""What the demo shows while it runs: a picture drawn over itself, or lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hybridllm.cli.demo.tally import RECENT_S, Ending, Phase, quantile
from hybridllm.cli.demo.world import KILLED, PLACES
from hybridllm.cli.output import percent, seconds, table, usd

if TYPE_CHECKING:
    from hybridllm.cli.demo.run import Course
    from hybridllm.cli.demo.world import World

LINE_EVERY_S = 1.0
_WEATHER = {
    Phase.HEALTHY: ("All backends are up.", "green"),
    Phase.OUTAGE: (
        f"{KILLED} is DOWN: its port is closed, its connections were reset.",
        "bold red",
    ),
    Phase.RECOVERED: (f"{KILLED} is back.", "green"),
}


class LiveScreen:
    """Draws the picture over itself."""

    def __init__(self, live: Live, world: World) -> None:
        self._live = live
        self._world = world

    def draw(self, course: Course) -> None:
        """Show where the demo stands now."""
        self._live.update(picture(course, self._world), refresh=True)


@contextmanager
def live_screen(out: Console, world: World) -> Iterator[LiveScreen]:
    """Draw on `out` for the length of the block; the last picture stays."""
    with Live(console=out, auto_refresh=False) as live:
        yield LiveScreen(live, world)


class PlainScreen:
    """Writes one line a second."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._next_s = 0.0

    def draw(self, course: Course) -> None:
        """Write a line, if a second has passed since the last one."""
        if course.now_s < self._next_s:
            return
        self._next_s = course.now_s + LINE_EVERY_S
        tally = course.tally
        served = tally.by_backend(now_s=course.now_s)
        recent = sum(line.recent for line in served.values())
        shares = ", ".join(
            f"{name} {percent(line.recent, recent)}" for name, line in sorted(served.items())
        )
        self._out.print(
            f"{course.now_s:5.1f} s  {course.phase:<12} {len(tally.records):>5} of {course.requests}"
            f"  p50 {seconds(quantile(tally.durations_s(), 0.5)):>7}"
            f"  p99 {seconds(quantile(tally.durations_s(), 0.99)):>7}"
            f"  failovers {tally.switches('failover'):>3}  {shares}"
        )


class SilentScreen:
    """Draws nothing: `--json`."""

    def draw(self, course: Course) -> None:
        """Nothing."""


def picture(course: Course, world: World) -> RenderableType:
    """Return everything that there is to see."""
    return Group(
        _head(course),
        Text(),
        backends(course, world),
        Text(),
        phases(course),
        Text(),
        side_by_side(tenants(course), models(course)),
    )


def side_by_side(*parts: RenderableType) -> RenderableType:
    """Return tables beside each other."""
    grid = Table.grid(padding=(0, 6, 0, 0))
    grid.add_row(*parts)
    return grid


def backends(course: Course, world: World) -> Table:
    """Return what each backend did, and does now."""
    numbers = ("answered", "share", "failed", "p50", "p99", "cost")
    made = table(
        *("simulated backend", "region", "state", "answered", "share", "failed", "p50", "p99"),
        *("cost", f"share of the last {RECENT_S:.0f} s"),
        right=numbers,
    )
    lines = course.tally.by_backend(now_s=course.now_s)
    total = sum(line.count for line in lines.values())
    recent = sum(line.recent for line in lines.values())
    for name, place in PLACES.items():
        line = lines.get(name)
        up = world.is_up(name)
        state = Text("up", style="green") if up else Text("DOWN", style="bold red")
        if line is None:
            made.add_row(name, place.region, state, "0")
            continue
        made.add_row(
            name,
            place.region,
            state,
            str(line.count),
            percent(line.count, total),
            str(line.failed),
            seconds(quantile(line.durations_s, 0.5)),
            seconds(quantile(line.durations_s, 0.99)),
            usd(line.cost_usd),
            _bar(line.recent / recent if recent else 0.0, 20),
        )
    return made


def phases(course: Course) -> Table:
    """Return how requests fared, by the phase in which they began."""
    numbers = (
        "answered",
        "failovers",
        "fallbacks",
        "cut",
        "denied",
        "failed",
        "p50",
        "p99",
        "1st token",
    )
    made = table("requests sent while", *numbers, right=numbers)
    tally = course.tally
    for phase in Phase:
        failed = tally.count(Ending.UNEXPECTED, phase)
        made.add_row(
            Text(phase.value, style="bold" if phase is course.phase else ""),
            str(tally.count(Ending.ANSWERED, phase)),
            str(tally.switches("failover", phase)),
            str(tally.switches("fallback", phase)),
            str(tally.count(Ending.CUT, phase)),
            str(tally.count(Ending.DENIED, phase)),
            Text(str(failed), style="bold red" if failed else ""),
            seconds(quantile(tally.durations_s(phase), 0.5)),
            seconds(quantile(tally.durations_s(phase), 0.99)),
            seconds(quantile(tally.first_tokens_s(phase), 0.5)),
        )
    return made


def tenants(course: Course) -> Table:
    """Return what each tenant asked and paid."""
    made = table("tenant", "requests", "cost", right=("requests", "cost"))
    for name, line in course.tally.by_tenant().items():
        made.add_row(name, str(line.count), usd(line.cost_usd))
    return made


def models(course: Course) -> Table:
    """Return what each model was asked and cost."""
    made = table("model", "attempts", "cost", right=("attempts", "cost"))
    for name, line in course.tally.by_model().items():
        made.add_row(name, str(line.count), usd(line.cost_usd))
    return made


def _head(course: Course) -> RenderableType:
    done = len(course.tally.records)
    words, style = _WEATHER[course.phase]
    line = Text(words, style=style)
    line.append(
        f"   {course.now_s:.1f} s   {done} of {course.requests} requests, "
        f"{course.tally.under_way} under way",
        style="dim",
    )
    return Group(line, _bar(done / max(course.requests, 1), 60))


def _bar(share: float, width: int) -> Text:
    """Return a bar; its two halves differ without colours too."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    bar = Text("█" * filled, style="cyan")
    bar.append("·" * (width - filled), style="dim")
    return bar
