"""`hybridllm init`: its options, its course, its end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import errors_told
from hybridllm.cli.init import options

if TYPE_CHECKING:
    from hybridllm.cli.init.choices import Options


def init(
    file: options.File = Path("policy.yaml"),
    *,
    yes: options.Yes = False,
    endpoint: options.Endpoints = None,
    look: options.Look = True,
    hosted: options.Hosted = None,
    model: options.Models = None,
    first: options.First = None,
    private: options.Private = None,
    region: options.Region = None,
    tasks: options.Tasks = None,
    with_schema: options.WithSchema = True,
    force: options.Force = False,
    openai_base_url: options.OpenaiBaseUrl = "",
    as_json: hints.AsJson = False,
) -> None:
    """Look around, ask a few questions, write a starter policy.

    Looks for variables that usually hold keys (only their names are shown or written) and asks servers
    at the usual ports of vLLM, SGLang, Ollama, llama.cpp, TGI and LM Studio on this machine for their
    models. No key is sent to anybody. What it writes has comments, has tests, and passes `check`.

    Asks nothing with --yes, with --json, or where standard input is no terminal.
    """
    from hybridllm.cli.init.choices import Options

    wanted = Options(
        file=file,
        ask=not (yes or as_json) and sys.stdin.isatty(),
        endpoints=tuple(endpoint or ()),
        look=look,
        hosted=hosted,
        models=tuple(model or ()),
        first=first,
        private=private,
        region=region,
        tasks=tasks,
        with_schema=with_schema,
        force=force,
        openai_base_url=openai_base_url.strip(),
    )
    with errors_told(as_json=as_json):
        try:
            _run(wanted, as_json=as_json)
        except typer.Abort:
            raise KeyboardInterrupt from None


def _run(wanted: Options, *, as_json: bool) -> None:
    from hybridllm.cli.init import choices, report
    from hybridllm.cli.init.files import check_targets, write

    choices.check_options(wanted)
    check_targets(wanted)
    found = choices.look_around(wanted)
    if not as_json:
        report.tell_found(found)
    if wanted.ask:
        typer.echo("", err=True)
    draft = choices.chosen(wanted, found)
    written = write(wanted, draft)
    if as_json:
        report.tell_json(written, found=found)
    else:
        report.tell_written(written, found=found)
