"""The options of `hybridllm batch` that are its own."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class UnknownLines(Enum):
    """What is done with lines that an earlier run sent without an ending."""

    RETRY = "retry"
    SKIP = "skip"


Source = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT",
        help="Requests in OpenAI's batch format, one JSON object a line.",
        show_default=False,
    ),
]
Target = Annotated[
    Path,
    typer.Argument(
        metavar="OUTPUT", help="For the answers, in OpenAI's batch format.", show_default=False
    ),
]
Policy = Annotated[
    str,
    typer.Option(
        "--policy",
        metavar="POLICY",
        help="A policy file, or the name of a shipped one. Required.",
        show_default=False,
    ),
]
Concurrency = Annotated[
    int,
    typer.Option(
        "--concurrency", min=1, max=10_000, metavar="N", help="How many are under way at once."
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where the last run ended; try again what failed.")
]
Journal = Annotated[
    Path | None,
    typer.Option("--journal", metavar="FILE", help="Default: the output's name with .journal."),
]
Unknown = Annotated[
    UnknownLines,
    typer.Option(
        "--unknown", help="What to do with lines that were sent when the last run was killed."
    ),
]
IgnoreModel = Annotated[
    bool,
    typer.Option("--ignore-model", help="Forget the models that lines name; the policy chooses."),
]
Deadline = Annotated[
    float | None, typer.Option("--deadline", min=0, metavar="SECONDS", help="For each line.")
]
