"""The command `hybridllm`: its sub-commands, its help, its way out.

`check` and `explain` are to start in 0.4 s, so nothing is loaded or built that the command at hand does
not need: neither the other commands nor, of course, `openai` and `aiohttp`.
"""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated

import typer

from hybridllm.cli.exits import EXIT_CODES, Exit

# Each is a function of that name, with `_` for `-`, in the module, or a group of them. In the order of the
# help: policies, requests, rehearsals, running processes, what was paid, what would be.
COMMANDS = {
    "init": "hybridllm.cli.init.command",
    "models": "hybridllm.cli.models",
    "check": "hybridllm.cli.check",
    "explain": "hybridllm.cli.explain",
    "test": "hybridllm.cli.test",
    "diff": "hybridllm.cli.diff",
    "ask": "hybridllm.cli.ask",
    "batch": "hybridllm.cli.batch.command",
    "compare": "hybridllm.cli.compare.command",
    "demo": "hybridllm.cli.demo.command",
    "chaos": "hybridllm.cli.chaos.command",
    "simulate": "hybridllm.cli.simulate.command",
    "status": "hybridllm.cli.status.command",
    "top": "hybridllm.cli.top.command",
    "ledger": "hybridllm.cli.ledger",
    "costs": "hybridllm.cli.costs.command",
    "audit": "hybridllm.cli.audit",
    "report": "hybridllm.cli.report.command",
    "prices": "hybridllm.cli.prices.command",
    "backtest": "hybridllm.cli.backtest.command",
    "break-even": "hybridllm.cli.break_even.command",
}
_SERVING = frozenset(
    {"ask", "batch", "chaos", "compare", "demo", "status", "top"}
)  # the others end before there is garbage worth collecting


def app_with(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Return the command line with these sub-commands."""
    app = typer.Typer(
        name="hybridllm",
        help="Hosted API or your own GPUs: decide by policy, survive dead regions, know the cost.",
        epilog=EXIT_CODES,
        add_completion=False,
        rich_markup_mode=None,  # help and usage errors in rich would take another 50 ms
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_about)
    for name in names:
        found = getattr(import_module(COMMANDS[name]), name.replace("-", "_"))
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, epilog=EXIT_CODES)
        else:
            app.command(name, epilog=EXIT_CODES)(found)
    return app


def run() -> None:
    """Run the command line and end the process with one of `Exit`."""
    asked = [name for name in sys.argv[1:2] if name in COMMANDS]
    if not _SERVING.intersection(asked):
        gc.disable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter shows `?`
    try:
        typer.main.get_command(app_with(asked or COMMANDS))(prog_name="hybridllm")
    except Exception as error:  # the outermost border: a bug gets a line, not a page
        if sys.flags.dev_mode:
            raise
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        typer.echo(
            f"error: unexpected {type(cause).__name__}: {cause}\n"
            "This is a bug in hybridllm. For the traceback: python -X dev -m hybridllm ...",
            err=True,
        )
        sys.exit(Exit.FAILED)


def _about(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")
    ] = False,
    no_color: Annotated[
        str,
        typer.Option("--no-color", envvar="NO_COLOR", hidden=True, help="Any text: no colours."),
    ] = "",
) -> None:
    if version:
        from hybridllm import __version__

        typer.echo(f"hybridllm {__version__}")
        raise typer.Exit(Exit.OK)
    if no_color:
        context.color = False
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(Exit.OK)
