"""The files that `--plot` writes: whether they can be drawn, before the work is done, and the writing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import typer

_KINDS = (".png", ".svg", ".pdf")


class Picture(Protocol):
    """What was drawn, as matplotlib has it."""

    def savefig(self, file: Path, /) -> None:
        """Write it."""


def ready_to_draw(file: Path | None = None) -> None:
    """Refuse a file of no such kind, and all of them without matplotlib; None: a folder is named."""
    if file is not None and file.suffix.lower() not in _KINDS:
        raise typer.BadParameter(f"--plot: {str(file)!r} ends in none of {', '.join(_KINDS)}")
    if not _can_draw():
        raise typer.BadParameter("--plot needs matplotlib: pip install 'hybridllm[plots]'")


def _can_draw() -> bool:
    try:
        return find_spec("matplotlib.figure") is not None
    except ModuleNotFoundError:
        return False


def save(picture: Picture, file: Path) -> None:
    """Write a picture."""
    try:
        picture.savefig(file)
    except OSError as error:
        message = f"--plot: {file} cannot be written: {error.strerror}"
        raise typer.BadParameter(message) from None
