"""`hybridllm check`: is this policy file right, and what does it say?"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridllm.cli import hints, picture
from hybridllm.cli.borders import errors_told, problem_facts
from hybridllm.cli.exits import Exit
from hybridllm.cli.output import plural, print_json
from hybridllm.cli.policy_files import policy_path

if TYPE_CHECKING:
    from hybridllm import PolicyReport


def check(
    policy: hints.Policy,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Warnings end the command with code 4.")
    ] = False,
    environment: hints.Environment = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page to file or print, too."),
    ] = None,
    dated: Annotated[
        str | None,
        typer.Option("--date", metavar="YYYY-MM-DD", help="That the page bears. Default: today."),
    ] = None,
    as_json: hints.AsJson = False,
) -> None:
    """Check a policy file, and show what it says.

    Every problem is told at once, each with file:line:column, and the policy's tests are run. A policy
    without problems is shown: backends, models and prices, which backends each residency tag can reach
    and by which routes, and the routes in the order in which they are tried. Nothing is sent to anybody.
    """
    path = policy_path(policy)
    day = _day(dated) if dated is not None else None

    from hybridllm import check as check_policy

    with errors_told(as_json=as_json):
        report = check_policy(path, environment=environment)
        _ = report.matrix  # a proof that fails is told like any other problem
    warnings = report.problems
    if html is not None:
        _write(html, report, file=str(path), day=day)
    if as_json:
        print_json(_facts(report, file=str(path)))
    else:
        for warning in warnings:
            typer.echo(typer.style(str(warning), fg="yellow"), err=True)
        typer.echo(_verdict(report, file=str(path)))
        picture.draw(report)
    if strict and warnings:
        raise typer.Exit(Exit.WARNINGS)


def _day(given: str) -> str:
    try:
        return date.fromisoformat(given).isoformat()
    except ValueError:
        message = f"{given!r} is not a date; write 2026-12-01"
        raise typer.BadParameter(message, param_hint="'--date'") from None


def _write(html: Path, report: PolicyReport, *, file: str, day: str | None) -> None:
    from hybridllm.cli.check_page import page

    if day is None:
        day = report.checked_at.date().isoformat() if report.checked_at is not None else "unknown"
    try:
        html.write_text(page(report, file=file, day=day), encoding="utf-8")
    except OSError as error:
        message = f"{html} cannot be written: {error.strerror}"
        raise typer.BadParameter(message, param_hint="'--html'") from None


def _verdict(report: PolicyReport, *, file: str) -> str:
    count = len(report.problems)
    warnings = plural(count, "warning") if count else "no problems"
    if report.results:
        warnings += f", {plural(len(report.results), 'test')} passed"
    policy = report.policy
    parts = [f"{file}:", typer.style("ok", fg="green", bold=True) + f", {warnings}"]
    environment = policy.environment or "not declared"
    return " ".join([*parts, f"(environment {environment}, version {policy.version})"])


def _facts(report: PolicyReport, *, file: str) -> dict[str, Any]:
    return {
        "ok": True,
        "file": file,
        "warnings": [problem_facts(problem) for problem in report.problems],
        "tests_passed": len(report.results),
        **picture.facts(report),
    }
