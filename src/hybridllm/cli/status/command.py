"""`hybridllm status`: its options, its course, its end."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from hybridllm.cli import hints
from hybridllm.cli.exits import Exit


def status(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="What routers were given as `status_dir`.", show_default=False
        ),
    ],
    watch: Annotated[
        bool, typer.Option("--watch", help="Draw it again and again, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float,
        typer.Option(
            "--every", min=0.2, max=3_600, metavar="S", help="Seconds between, with --watch."
        ),
    ] = 1.0,
    as_json: hints.AsJson = False,
) -> None:
    """Show breakers, gates, limits and latencies of running processes.

    Asks every process of this user whose router was made with `status_dir=DIR`. Nothing is sent to a
    backend, and no request is slowed down.
    """
    from hybridllm.cli.borders import errors_told
    from hybridllm.cli.output import error_line, print_json
    from hybridllm.cli.status.ask import asked

    if not folder.is_dir():
        raise typer.BadParameter(f"DIR: there is no folder {str(folder)!r}")
    if watch and as_json:
        raise typer.BadParameter("--watch draws on a terminal; with --json ask again instead")
    with errors_told(as_json=as_json):
        if watch:
            _watch(folder, every)
            return
        found = asked(folder)
        if as_json:
            silent = [{"socket": name, "reason": why} for name, why in found.silent]
            there = bool(found.processes)
            print_json({"ok": there, "processes": found.processes, "silent": silent})
        elif found.processes or found.silent:
            from hybridllm.cli.status import screen

            screen.console().print(screen.picture(found, str(folder)))
        else:
            from hybridllm.cli.status.screen import nobody

            error_line(nobody(str(folder)))
    if not found.processes:
        raise typer.Exit(Exit.FAILED)


def _watch(folder: Path, every_s: float) -> None:
    from rich.live import Live

    from hybridllm.cli.status import screen
    from hybridllm.cli.status.ask import asked

    out = screen.console()
    with Live(console=out, auto_refresh=False) if out.is_terminal else nullcontext() as live:
        while True:
            picture = screen.picture(asked(folder), str(folder))
            if live is not None:
                live.update(picture, refresh=True)
            else:  # into a pipe: one picture below the other
                out.print(picture)
                sys.stdout.flush()
            time.sleep(every_s)
