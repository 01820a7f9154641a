"""`hybridllm demo`: its options, its course, its end."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from hybridllm.cli import hints
from hybridllm.cli.demo.acts import Acts
from hybridllm.cli.exits import Exit


def demo(
    act: Annotated[Acts, typer.Option("--act", help="Which act to play.")] = Acts.ALL,
    requests: Annotated[
        int,
        typer.Option(
            "--requests", min=10, max=100_000, metavar="N", help="How many the first act sends."
        ),
    ] = 350,
    seconds: Annotated[
        float,
        typer.Option("--seconds", min=1, max=3_600, metavar="S", help="How long each act takes."),
    ] = 7.0,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Of traffic and simulated answers.")
    ] = 7,
    drain: Annotated[
        float,
        typer.Option(
            "--drain",
            min=0,
            max=600,
            metavar="S",
            help="After SIGTERM or Ctrl-C, how long requests under way may take.",
        ),
    ] = 5.0,
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
    """Watch a region die, and a burst leave the own machine; no key needed.

    Act 1 starts two simulated API regions and one simulated vLLM as real HTTP servers on this machine,
    sends mixed traffic through the real router by the shipped policy api-first, kills a region halfway,
    brings it back, and tells what became of the requests and what they cost.

    Act 2 sends a simulated machine of one's own three times what it can take: the surplus overflows to
    the API and comes back. Then the machine sleeps, the API stands in, and who needs it wakes it.

    SIGTERM or Ctrl-C stops it in good order: nothing more is sent, what is under way may end, and the summary
    is printed. A second one ends it at once.
    """
    from hybridllm.cli.borders import errors_told
    from hybridllm.cli.demo.play import play
    from hybridllm.cli.demo.stage import Stage
    from hybridllm.cli.output import keep_logs_quiet
    from hybridllm.cli.signals import ended_by, run_until_stopped

    keep_logs_quiet()
    stage = Stage(seconds, requests, drain, seed, plain, as_json, status_dir)
    with errors_told(as_json=as_json):
        passed, stop = run_until_stopped(lambda stop: play(stage, act, stop))
    if not passed:
        raise typer.Exit(Exit.FAILED)
    if stop.signal is signal.SIGINT:
        raise ended_by(stop)
