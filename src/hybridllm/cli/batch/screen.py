"""What a batch shows while it runs, on standard error: a bar drawn over itself, or lines; and its summary."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

from hybridllm.cli.output import note, paragraph, percent, plural, terminal_width, usd

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from hybridllm import BatchSummary, BulkProgress

LINE_EVERY_S = 5.0
PROBLEMS_SHOWN_MAX = 10
_BAR_WIDTH = (10, 40)


class Screen:
    """Says what is wrong, and draws nothing: `--json`.

    Attributes:
        again: The command that goes on, as it would be typed.
    """

    def __init__(self) -> None:
        words = ["hybridllm", *sys.argv[1:]]
        self.again = shlex.join(words if "--resume" in words else [*words, "--resume"])
        self._problems = 0

    def draw(self, progress: BulkProgress) -> None:
        """Show where the batch stands."""

    def problem(self, text: str) -> None:
        """Tell of a line that has no answer; of many, the first ones."""
        self._problems += 1
        if self._problems <= PROBLEMS_SHOWN_MAX:
            self.say(text)
        elif self._problems == PROBLEMS_SHOWN_MAX + 1:
            self.say("more lines have no answer; each is told in the output")

    def say(self, text: str) -> None:
        """Print a message above what is drawn."""
        paragraph(text, err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""


class PlainScreen(Screen):
    """Writes a line every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._next_s = LINE_EVERY_S

    def draw(self, progress: BulkProgress) -> None:
        """Write a line, if it is time."""
        if progress.elapsed_s >= self._next_s:
            self._next_s = progress.elapsed_s + LINE_EVERY_S
            typer.echo("  ".join(figures(progress)), err=True)


class LiveScreen(Screen):
    """Draws a bar over itself; the last one stays."""

    def __init__(self, title: str) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._live: Live = Live(console=self._console, auto_refresh=False)
        self._title = title

    def draw(self, progress: BulkProgress) -> None:
        """Draw the bar anew."""
        self._live.update(_picture(self._title, progress, self._console.width), refresh=True)

    def say(self, text: str) -> None:
        """Print a message above the bar."""
        self._console.print(text)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


def screen_for(source: Path, target: Path, *, as_json: bool) -> Screen:
    """Return what fits where standard error goes."""
    if as_json:
        return Screen()
    if terminal_width(err=True) is None:
        return PlainScreen()
    return LiveScreen(f"{source} -> {target}")


def figures(progress: BulkProgress) -> list[str]:
    """Return what there is to tell of a batch, the most telling first."""
    told = [f"{progress.ended:,}"]
    if progress.total is not None:
        told = [
            f"{progress.ended:,} of {progress.total:,}",
            percent(progress.ended, progress.total),
        ]
    cost = usd(progress.cost_usd)
    told.append(cost if progress.cost_complete else f"at least {cost}")
    if progress.failed:
        told.append(f"{progress.failed:,} failed")
    if progress.left_s:
        told.append(f"{span(progress.left_s)} left")
    if progress.rate_per_s is not None and progress.left_s != 0:
        told.append(_rate(progress.rate_per_s))
    if progress.waiting:
        told.append(f"{progress.waiting:,} waiting for a backend")
    if progress.resumed:
        told.append(f"{progress.resumed:,} of an earlier run")
    return told


def span(duration_s: float) -> str:
    """Show how long something will take, as people say it: `8 s`, `3 min`, `2 h 10 min`."""
    if duration_s < 99.5:
        return f"{max(1, round(duration_s))} s"
    minutes = round(duration_s / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{round(hours / 24)} days"


def summary_lines(ended: BatchSummary, *, again: str) -> None:
    """Print how a batch ended."""
    progress = ended.progress
    failed = f"{progress.failed:,} failed" if progress.failed else "none failed"
    if ended.invalid:
        failed += f" ({ended.invalid:,} could not be sent)"
    lines = plural(progress.ended, "line").replace(f"{progress.ended}", f"{progress.ended:,}", 1)
    head = f"{lines}: {progress.done:,} answered, {failed}, in {span(progress.elapsed_s)}"
    typer.echo(typer.style(head, bold=True))
    rows = [("cost", usd(progress.cost_usd) + ("" if progress.cost_complete else ", or more"))]
    rows.append(("tokens", f"{progress.tokens_in:,} in, {progress.tokens_out:,} out"))
    if progress.resumed:
        rows.append(("of earlier runs", f"{progress.resumed:,} answers, not paid for again"))
    if progress.unknown_paid:
        rows.append(
            ("perhaps paid twice", f"{progress.unknown_paid:,}, under way when a run was killed")
        )
    rows += [("output", str(ended.output)), ("journal", str(ended.journal))]
    for name, value in rows:
        typer.echo(f"  {name:<20}{value}")
    if not ended.complete:
        typer.echo(f"Stopped before the end. To go on:\n  {again}")
    elif progress.failed:
        typer.echo(f"To try again what failed:\n  {again}")
    else:
        note("The journal holds the answers too. Nobody needs it any more once you have them.")


def summary_json(ended: BatchSummary) -> dict[str, Any]:
    """Return how a batch ended, ready for JSON."""
    progress = ended.progress
    return {
        "ok": ended.complete and not progress.failed,
        "complete": ended.complete,
        "lines": progress.ended,
        "answered": progress.done,
        "failed": progress.failed,
        "invalid": ended.invalid,
        "resumed": progress.resumed,
        "unknown_paid": progress.unknown_paid,
        "cost_usd": f"{progress.cost_usd:f}",
        "cost_complete": progress.cost_complete,
        "tokens_in": progress.tokens_in,
        "tokens_out": progress.tokens_out,
        "elapsed_s": round(progress.elapsed_s, 3),
        "output": str(ended.output),
        "journal": str(ended.journal),
    }


def _picture(title: str, progress: BulkProgress, width: int) -> Text:
    """Return the title and the bar, as many figures beside it as fit."""
    from rich.text import Text

    told = figures(progress)
    least, most = _BAR_WIDTH
    cells = 0 if progress.total is None else max(least, min(most, width // 3))
    while len(told) > 2 and cells + 2 + len("  ".join(told)) > width:
        told.pop()
    line = Text(f"{title}\n", style="dim", no_wrap=True, overflow="ellipsis")
    words = "  ".join(told)
    if progress.total is not None:
        share = progress.ended / progress.total if progress.total else 1.0
        filled = min(cells, int(share * cells))
        line.append("█" * filled, style="not dim cyan")
        line.append("·" * (cells - filled) + "  ")
    return line.append(words, style="not dim")


def _rate(rate_per_s: float) -> str:
    if rate_per_s >= 10:
        return f"{rate_per_s:,.0f}/s"
    return f"{rate_per_s:.1f}/s" if rate_per_s >= 0.1 else f"{rate_per_s * 60:.1f}/min"
