"""`hybridllm compare`: the same prompts to several models; what each cost, how long it took, what it said."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli import hints, ledger_options
from hybridllm.cli.borders import errors_told
from hybridllm.cli.compare import options
from hybridllm.cli.compare.screen import draw, draw_answers, draw_live
from hybridllm.cli.output import keep_logs_quiet, note, print_json, usd
from hybridllm.cli.policy_files import policy_path
from hybridllm.cli.progress import Progress

if TYPE_CHECKING:
    from hybridllm import CompareProgress, Comparison


def compare(
    prompts: options.Prompts = None,
    *,
    models: options.Models = None,
    policy: options.Policy = "api-first",
    ledger: options.Ledger = None,
    since: ledger_options.Since = "30d",
    until: ledger_options.Until = None,
    judge: options.Judge = None,
    schema: options.Schema = None,
    html: options.HtmlPage = None,
    shown: options.Shown = 5,
    concurrency: options.Concurrency = 16,
    task: hints.Task = None,
    residency: hints.Residency = None,
    tenant: hints.Tenant = None,
    environment: hints.Environment = None,
    max_tokens: hints.MaxTokens = None,
    as_json: hints.AsJson = False,
) -> None:
    """Compare models over a file of prompts, or from the shadow traffic in a ledger.

    Each prompt is asked of each model, pinned, under the policy's hard filters; what that costs is shown.
    Agreement is the share of prompts on which a model says the same as the first: equal JSON or words.
    Example: hybridllm compare --models qwen3.5-27b,deepseek-v4-flash,glm-4-9b prompts.jsonl --html page.html
    """
    named = hints.listed(models)
    keep_logs_quiet()
    if ledger is not None:
        if prompts is not None:
            raise typer.BadParameter("PROMPTS and --ledger: give one of them")
        with ledger_options.questions_told(as_json=as_json):
            _live(ledger, since, until, named, as_json=as_json)
        return
    if prompts is None:
        raise typer.BadParameter("give a file of PROMPTS, or --ledger")
    if len(named) < 2:
        raise typer.BadParameter("--models: give two or more, as in --models qwen3-8b,glm-4-9b")
    said = {"task": task, "residency": residency, "tenant": tenant, "max_tokens": max_tokens}
    with errors_told(as_json=as_json):
        found = asyncio.run(
            _compared(
                policy_path(policy),
                environment,
                prompts,
                models=named,
                judge=judge,
                schema=None if schema is None else _schema(schema),
                hints={name: value for name, value in said.items() if value is not None},
                concurrency=concurrency,
            )
        )
    _tell(found, html=html, shown=shown, as_json=as_json)


async def _compared(path: Path, environment: str | None, prompts: str, **given: Any) -> Comparison:
    from hybridllm import Router
    from hybridllm import compare as ask_all

    async with Router.from_file(path, environment=environment) as router:
        with Progress() as progress:

            def on_progress(told: CompareProgress) -> None:
                what = f"{told.model}, {usd(told.cost_usd)} so far"
                progress.at(told.done, told.total, what)

            return await ask_all(router, prompts, on_progress=on_progress, **given)


def _tell(found: Comparison, *, html: Path | None, shown: int, as_json: bool) -> None:
    if html is not None:
        from hybridllm.cli.compare.page import page

        html.write_text(page(found), encoding="utf-8")
    if as_json:
        print_json({"ok": True, **found.to_dict()})
        return
    draw(found)
    draw_answers(found, shown)
    if html is not None:
        note(f"all {len(found.rows)} prompts side by side: {html}")


def _live(
    ledger: str, since: str | None, until: str | None, models: list[str], *, as_json: bool
) -> None:
    from hybridllm import shadow_report

    found = [
        one
        for one in shadow_report(ledger, since=since, until=until)
        if not models or one.shadow_model in models
    ]
    if as_json:
        print_json({"ok": True, "shadows": [one.to_dict() for one in found]})
    else:
        draw_live(found)


def _schema(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"--schema: {path}: {error}") from None
