"""Where an act is played: its screen, and whether anybody sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from hybridllm.cli.demo.run import Screen
from hybridllm.cli.demo.screen import (
    LiveScreen,
    Picture,
    PlainScreen,
    SilentScreen,
    show_picture,
)
from hybridllm.cli.output import note, paragraph, terminal_width

if TYPE_CHECKING:
    from pathlib import Path

    from hybridllm.cli.demo.run import Course


class Played(NamedTuple):
    """An act that was played.

    Attributes:
        ok: Whether nothing unexpected happened.
        facts: All of it, for JSON.
    """

    ok: bool
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """What the acts have in common.

    Attributes:
        seconds: How long each takes.
        requests: That the first one sends.
        drain_s: How long requests under way may take when it is stopped.
        plain: Lines instead of a picture.
        as_json: Nothing is shown.
    """

    seconds: float
    requests: int
    drain_s: float
    seed: int
    plain: bool = False
    as_json: bool = False
    status_dir: Path | None = None

    def introduce(self, title: str, words: str, urls: Mapping[str, str]) -> None:
        """Say what is to be seen, and where the backends are."""
        if self.as_json:
            return
        paragraph(f"{typer.style(title, bold=True)}: {words}")
        note("No key is used, no model thinks, and nothing leaves this machine.")
        for name, url in urls.items():
            note(f"  {name:<12} {url}")
        typer.echo()

    def screen(self, picture: Picture) -> Screen:
        """Return where the act is drawn."""
        if self.as_json:
            return SilentScreen()
        return PlainScreen() if self._has_lines else LiveScreen(picture)

    def curtain(self, course: Course, picture: Picture) -> None:
        """Show the last picture, where there were only lines."""
        if self._has_lines and not self.as_json:
            show_picture(course, picture)

    @property
    def _has_lines(self) -> bool:
        return self.plain or terminal_width() is None
