"""The command `hybridllm`: its sub-commands, its help, its way out.

Every command imports what it works with when it runs, so that `check` and `explain` start fast and
load neither `openai` nor `aiohttp`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hybridllm.cli.ask import ask
from hybridllm.cli.check import check
from hybridllm.cli.demo.command import demo
from hybridllm.cli.exits import EXIT_CODES, Exit
from hybridllm.cli.explain import explain
from hybridllm.cli.models import models

app = typer.Typer(
    name="hybridllm",
    help="Hosted API or your own GPUs: decide by policy, survive dead regions, know the cost.",
    epilog=EXIT_CODES,
    add_completion=False,
    rich_markup_mode=None,  # rich's help costs 50 ms, and `check` is to start in 400
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (check, explain, ask, models, demo):
    app.command(epilog=EXIT_CODES)(command)


@app.callback(invoke_without_command=True)
def _about(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if version:
        from hybridllm import __version__

        typer.echo(f"hybridllm {__version__}")
        raise typer.Exit(Exit.OK)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(Exit.OK)


def run() -> None:
    """Run the command line and end the process with one of `Exit`."""
    try:
        typer.main.get_command(app)(prog_name="hybridllm")
    except Exception as error:  # the outermost border: a bug gets a line, not a page
        if sys.flags.dev_mode:
            raise
        typer.echo(
            f"error: unexpected {type(error).__name__}: {error}\n"
            "This is a bug in hybridllm. For the traceback: python -X dev -m hybridllm ...",
            err=True,
        )
        sys.exit(Exit.FAILED)
