"""`hybridllm check`: is this policy file right, and what does it say?"""

from __future__ import annotations

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
    as_json: hints.AsJson = False,
) -> None:
    """Check a policy file, and show what it says.

    Every problem is told at once, each with file:line:column. A policy without problems is shown:
    backends, models and prices, which backends each residency tag allows, and the routes in the order
    in which they are tried. Nothing is sent to anybody.
    """
    path = policy_path(policy)

    from hybridllm import check as check_policy

    with errors_told(as_json=as_json):
        report = check_policy(path)
        reach = picture.reach_of(report)
    warnings = report.problems
    if as_json:
        print_json(_facts(report, reach, file=str(path)))
    else:
        for warning in warnings:
            typer.echo(typer.style(str(warning), fg="yellow"), err=True)
        typer.echo(_verdict(report, file=str(path)))
        picture.draw(report, reach)
    if strict and warnings:
        raise typer.Exit(Exit.WARNINGS)


def _verdict(report: PolicyReport, *, file: str) -> str:
    count = len(report.problems)
    warnings = plural(count, "warning") if count else "no problems"
    if report.results:
        warnings += f", {plural(len(report.results), 'test')} passed"
    policy = report.policy
    parts = [f"{file}:", typer.style("ok", fg="green", bold=True) + f", {warnings}"]
    return " ".join([*parts, f"(environment {policy.environment}, version {policy.version})"])


def _facts(report: PolicyReport, reach: picture.Reach, *, file: str) -> dict[str, Any]:
    return {
        "ok": True,
        "file": file,
        "warnings": [problem_facts(problem) for problem in report.problems],
        "tests_passed": len(report.results),
        **picture.facts(report, reach),
    }
