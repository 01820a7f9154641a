"""What the demo shows while it runs: a picture drawn over itself, or lines where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from hybridllm.cli.output import percent, seconds
from hybridllm.cli.quantiles import quantile

if TYPE_CHECKING:
    from hybridllm.cli.demo.run import Course

LINE_EVERY_S = 1.0
_PIPE_WIDTH = 400

Picture = Callable[["Course", int], RenderableType]
"""Draws where an act stands, in so many columns."""


class LiveScreen:
    """Draws the picture over itself; the last one stays."""

    def __init__(self, picture: Picture) -> None:
        self._live = Live(console=_console(), auto_refresh=False)
        self._picture = picture

    def draw(self, course: Course) -> None:
        """Show where the demo stands now."""
        width = self._live.console.width
        self._live.update(self._picture(course, width), refresh=True)

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
            f"{course.now_s:5.1f} s  {course.phase:<14} {len(tally.records):>5} of {course.requests}"
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


def show_picture(course: Course, picture: Picture) -> None:
    """Print the picture once."""
    out = _console()
    out.print()
    out.print(picture(course, out.width))


def _console() -> Console:
    # In a pipe as wide as it needs to be; nothing in our texts is markup.
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)
