"""What the demo shows while it runs: a picture drawn over itself, or lines where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Self

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hybridllm.cli.demo.tally import RECENT_S, Ending, Line, Phase, quantile
from hybridllm.cli.demo.world import KILLED, REGIONS
from hybridllm.cli.output import percent, seconds, usd

if TYPE_CHECKING:
    from hybridllm.cli.demo.run import Course
    from hybridllm.cli.demo.world import World

LINE_EVERY_S = 1.0
WIDE = 118  # columns that the whole picture needs
_PIPE_WIDTH = 400
_FIGURE_WIDTH = 8
_FIGURES = frozenset(
    {
        "answered",
        "share",
        "failed",
        "failures",
        "p50",
        "p99",
        "cost",
        "failovers",
        "fallbacks",
        "cut",
        "denied",
    }
    | {"1st token", "requests", "attempts"}
)
Row = dict[str, "str | Text"]
_WEATHER = {
    Phase.HEALTHY: ("All backends are up.", "green"),
    Phase.OUTAGE: (
        f"{KILLED} is DOWN: its port is closed, its connections were reset.",
        "bold red",
    ),
    Phase.RECOVERED: (f"{KILLED} is back.", "green"),
}


class LiveScreen:
    """Draws the picture over itself; the last one stays."""

    def __init__(self, world: World) -> None:
        self._live = Live(console=_console(), auto_refresh=False)
        self._world = world

    def draw(self, course: Course) -> None:
        """Show where the demo stands now."""
        width = self._live.console.width
        self._live.update(_picture(course, self._world, width=width), refresh=True)

    def say(self, words: str) -> None:
        """Show a line above the picture."""
        self._live.console.print(words)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


class PlainScreen:
    """Writes one line a second."""

    def __init__(self) -> None:
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
        typer.echo(
            f"{course.now_s:5.1f} s  {course.phase:<12} {len(tally.records):>5} of {course.requests}"
            f"  p50 {seconds(quantile(tally.durations_s(), 0.5)):>7}"
            f"  p99 {seconds(quantile(tally.durations_s(), 0.99)):>7}"
            f"  failovers {tally.switches('failover'):>3}  {shares}"
        )

    def say(self, words: str) -> None:
        """Write it."""
        typer.echo(words)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""


class SilentScreen(PlainScreen):
    """Draws nothing: `--json`."""

    def draw(self, course: Course) -> None:
        """Nothing."""

    def say(self, words: str) -> None:
        """Nothing."""


def show_picture(course: Course, world: World) -> None:
    """Print the picture once."""
    out = _console()
    out.print()
    out.print(_picture(course, world, width=out.width))


def _console() -> Console:
    # In a pipe as wide as it needs to be; nothing in our texts is markup.
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)


def _picture(course: Course, world: World, *, width: int) -> RenderableType:
    """Return everything that there is to see; in a narrow terminal, the most telling columns of it."""
    wide = width >= WIDE
    grid = Table.grid(padding=(0, 6, 0, 0))
    grid.add_row(_tenants(course), _models(course))
    return Group(
        *(_head(course), Text()),
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
                f"last {RECENT_S:.0f} s": _bar(
                    line.recent / recent if recent else 0.0, 20 if wide else 10
                ),
            }
        )
    return _table(rows, hidden=() if wide else ("region", "p50", "p99"))


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
    return _table(rows, hidden=() if wide else ("fallbacks", "denied", "1st token"))


def _tenants(course: Course) -> Table:
    """Return what each tenant asked and paid."""
    return _table(
        [
            {"tenant": name, "requests": str(line.count), "cost": usd(line.cost_usd)}
            for name, line in course.tally.by_tenant().items()
        ]
    )


def _models(course: Course) -> Table:
    """Return what each model was asked and cost."""
    return _table(
        [
            {"model": name, "attempts": str(line.count), "cost": usd(line.cost_usd)}
            for name, line in course.tally.by_model().items()
        ]
    )


def _table(rows: list[Row], *, hidden: Collection[str] = ()) -> Table:
    """Return rows as a table whose figures keep their places when it is drawn again."""
    made = Table(header_style="dim", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    names = [name for name in (rows[0] if rows else ()) if name not in hidden]
    for name in names:
        if name in _FIGURES:
            made.add_column(name, justify="right", min_width=_FIGURE_WIDTH, no_wrap=True)
        else:
            made.add_column(name, no_wrap=True)
    for row in rows:
        made.add_row(*(row[name] for name in names))
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
