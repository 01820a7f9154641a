"""`hybridllm top`: its options, its course, its end."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridllm.cli import hints
from hybridllm.cli.exits import Exit

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hybridllm.cli.status.ask import Found
    from hybridllm.cli.top.looks import Looks


def top(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="What routers were given as `status_dir`.", show_default=False
        ),
    ],
    every: Annotated[
        float,
        typer.Option("--every", min=0.2, max=3_600, metavar="S", help="Seconds between two looks."),
    ] = 1.0,
    once: Annotated[
        bool, typer.Option("--once", help="One picture, after two looks; then the end.")
    ] = False,
    as_json: hints.AsJson = False,
) -> None:
    """Watch what running processes do: backends, load, overflow, volumes, money per hour.

    Asks every process of this user whose router was made with `status_dir=DIR`, again and again until
    Ctrl-C. Rates are those between two looks. Nothing is sent to a backend, and no request is slowed down.
    """
    from hybridllm.cli.borders import errors_told
    from hybridllm.cli.output import print_json
    from hybridllm.cli.top.looks import Looks

    if not folder.is_dir():
        raise typer.BadParameter(f"DIR: there is no folder {str(folder)!r}")
    looks = Looks()
    with errors_told(as_json=as_json):
        if not once and not as_json:
            _watch(looks, folder, every)
            return
        _look(looks, folder)
        if looks.processes:
            time.sleep(every)
        found = _look(looks, folder)
        if as_json:
            from hybridllm.cli.top.screen import facts

            print_json(facts(looks, found.silent))
        else:
            _draw(looks, found, folder)
    if not looks.processes:
        raise typer.Exit(Exit.FAILED)


def _look(looks: Looks, folder: Path) -> Found:
    """Look once more."""
    from hybridllm.cli.status.ask import asked

    found = asked(folder)
    looks.add(found, now_s=time.monotonic(), now_utc=_utc_now())  # noqa: TID251 - as below
    return found


def _utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a command has no clock but the wall's


def _watch(looks: Looks, folder: Path, every_s: float) -> None:
    from rich.live import Live

    from hybridllm.cli.status.screen import console

    out = console()
    live = Live(console=out, auto_refresh=False) if out.is_terminal else None
    with live or nullcontext():
        while True:
            found = _look(looks, folder)
            drawn = _picture(looks, found, folder, width=out.width)
            if live is not None:
                live.update(drawn, refresh=True)
            else:  # into a pipe: one picture below the other
                out.print(drawn)
                sys.stdout.flush()
            time.sleep(every_s)


def _draw(looks: Looks, found: Found, folder: Path) -> None:
    """Print the picture once."""
    from hybridllm.cli.output import error_line
    from hybridllm.cli.status.screen import console, nobody

    if not looks.processes and not found.silent:
        error_line(nobody(str(folder)))
        return
    out = console()
    out.print(_picture(looks, found, folder, width=out.width))


def _picture(looks: Looks, found: Found, folder: Path, *, width: int) -> RenderableType:
    from hybridllm.cli.top.screen import picture

    return picture(looks, found.silent, str(folder), now_utc=_utc_now(), width=width)
