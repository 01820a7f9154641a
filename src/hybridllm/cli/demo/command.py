"""`hybridllm demo`: its options, its course, its end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from hybridllm.cli import hints
from hybridllm.cli.exits import Exit


def demo(
    requests: Annotated[
        int, typer.Option("--requests", min=10, max=100_000, metavar="N", help="How many to send.")
    ] = 500,
    seconds: Annotated[
        float,
        typer.Option("--seconds", min=1, max=3_600, metavar="S", help="Over how long."),
    ] = 10.0,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Of traffic and simulated answers.")
    ] = 7,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Lines instead of a picture, as where there is no terminal."),
    ] = False,
    status_dir: Annotated[
        Path | None,
        typer.Option(
            "--status-dir",
            metavar="DIR",
            help="Where `hybridllm status DIR` finds the demo's router.",
        ),
    ] = None,
    as_json: hints.AsJson = False,
) -> None:
    """Watch a region die under traffic; no key needed.

    Starts two simulated API regions and one simulated vLLM as real HTTP servers on this machine, sends
    mixed traffic through the real router by the shipped policy api-first, kills a region halfway,
    brings it back, and tells what became of the requests and what they cost.
    """
    from hybridllm.cli.borders import errors_told
    from hybridllm.cli.demo.play import play
    from hybridllm.cli.output import keep_logs_quiet

    keep_logs_quiet()
    with errors_told(as_json=as_json):
        passed = asyncio.run(
            play(
                requests=requests,
                seconds=seconds,
                seed=seed,
                plain=plain,
                as_json=as_json,
                status_dir=status_dir,
            )
        )
    if not passed:
        raise typer.Exit(Exit.FAILED)
