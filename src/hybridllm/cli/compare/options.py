"""The options of `hybridllm compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Prompts = Annotated[
    str | None,
    typer.Argument(
        metavar="PROMPTS",
        help='JSONL: {"prompt": "..."} or {"messages": [...]}, with "id" and "expected" if you like.',
        show_default=False,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--models", metavar="A,B,...", help="Of the policy; the others are held against the first."
    ),
]
Policy = Annotated[
    str, typer.Option("--policy", metavar="POLICY", help="A policy file, or a shipped one.")
]
Ledger = Annotated[
    str | None,
    typer.Option(
        "--ledger", metavar="LEDGER", help="Instead of asking: shadow traffic of this ledger."
    ),
]
Judge = Annotated[
    str | None,
    typer.Option(
        "--judge",
        metavar="PACKAGE.MODULE.FUNCTION",
        help="judge(request, answer, expected), from 0 to 1.",
    ),
]
Schema = Annotated[
    Path | None,
    typer.Option("--schema", metavar="FILE", help="A JSON schema that answers must fit."),
]
HtmlPage = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write a page with all answers side by side."),
]
Shown = Annotated[
    int, typer.Option("--show", min=0, metavar="N", help="Prompts whose answers are printed.")
]
Concurrency = Annotated[
    int, typer.Option("--concurrency", min=1, max=10_000, metavar="N", help="Requests at once.")
]
