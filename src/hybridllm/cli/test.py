"""`hybridllm test`: does each policy decide what its tests say? Nothing is sent to anybody."""
# ruff: noqa: PT028 - the command is called `test`, and is none of pytest's

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import error_facts, tell
from hybridllm.cli.exits import Exit
from hybridllm.cli.output import note, paragraph, plural, print_json
from hybridllm.cli.policy_files import policy_paths
from hybridllm.cli.tables import Coloured, Table, show
from hybridllm.errors import HybridLLMError

if TYPE_CHECKING:
    from hybridllm import CaseResult, CasesReport

_GIVEN_NOTHING = "policies"


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of one policy.

    Attributes:
        report: Of its tests; None if it does not load.
        error: Why it does not load.
        selected: Those of its tests that were asked for.
        too_little: That less is covered than is wanted, in words; None: it is enough.
    """

    path: Path
    report: CasesReport | None = None
    error: HybridLLMError | None = None
    selected: tuple[CaseResult, ...] = ()
    too_little: str | None = None

    @property
    def good(self) -> bool:
        """Whether it loads, its tests passed, and enough is covered."""
        passed = all(result.passed for result in self.selected)
        return self.error is None and self.too_little is None and passed


def test(
    policies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="POLICY...",
            help="Policy files, folders of them, or names of shipped ones. Default: the folder policies.",
            show_default=False,
        ),
    ] = None,
    *,
    text: Annotated[
        str,
        typer.Option("-k", metavar="TEXT", help="Only tests with TEXT in their name, in any case."),
    ] = "",
    min_coverage: Annotated[
        float | None,
        typer.Option(
            "--min-coverage",
            min=0,
            max=100,
            metavar="PERCENT",
            help="Fail if the tests touch fewer of a policy's routes, overflows and constraints.",
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML, too."),
    ] = None,
    as_json: hints.AsJson = False,
) -> None:
    """Run the tests of policies, and show what differs.

    A test stands under `tests` in the policy file, or in NAME.test.yaml beside NAME.yaml. Each runs through
    the decision that a request takes. Coverage counts all tests of a policy, also with -k. Opens no
    connection and needs no key. Ends with code 1 if a test fails.
    """
    paths = policy_paths(policies or [_GIVEN_NOTHING])
    found = [_tested(path, text=text, min_coverage=min_coverage) for path in paths]
    if text and not any(one.selected or one.error for one in found):
        raise typer.BadParameter(f"no test has {text!r} in its name", param_hint="'-k'")
    if junit is not None:
        _write(junit, found)
    good = all(one.good for one in found)
    if as_json:
        print_json({"ok": good, "policies": [_facts(one) for one in found]})
    else:
        _draw(found, all_of_them=not text)
    if not good:
        raise typer.Exit(Exit.FAILED)


def _tested(path: Path, *, text: str, min_coverage: float | None) -> Tested:
    from hybridllm import check_cases

    try:
        report = check_cases(path)
    except HybridLLMError as error:
        return Tested(path, error=error)
    selected = tuple(one for one in report.results if text.lower() in one.case.name.lower())
    too_little = None
    if min_coverage is not None and report.coverage.percent < min_coverage:
        too_little = report.coverage.shortfall(min_coverage)
    return Tested(path, report, None, selected, too_little)


def _write(junit: Path, found: Sequence[Tested]) -> None:
    from hybridllm.cli.junit import written

    try:
        junit.write_text(written(found), encoding="utf-8")
    except OSError as error:
        message = f"{junit} cannot be written: {error.strerror}"
        raise typer.BadParameter(message, param_hint="'--junit'") from None


def _draw(found: Sequence[Tested], *, all_of_them: bool) -> None:
    for place, one in enumerate(found):
        if place:
            typer.echo()
        if one.error is not None:
            tell(one.error, as_json=False)
        elif one.report is not None:
            _draw_one(one, one.report, all_of_them=all_of_them)
    if len(found) > 1:
        typer.echo()
        typer.echo(_totals(found))


def _draw_one(one: Tested, report: CasesReport, *, all_of_them: bool) -> None:
    if not report.results:
        beside = f"{one.path.stem}.test{one.path.suffix or '.yaml'}"
        paragraph(
            f"{one.path}: has no tests; write them under `tests` in it, or in {beside} beside it"
        )
    width = max((len(result.where) for result in one.selected), default=0)
    for result in one.selected:
        _draw_case(result, width)
    if report.results and all_of_them:
        typer.echo()
        show(_covered(report))
        typer.echo()
    if report.results:
        typer.echo(_verdict(one, report))
    if one.too_little is not None:
        paragraph(typer.style("too little: ", fg="red", bold=True) + one.too_little)


def _draw_case(result: CaseResult, width: int) -> None:
    mark = _mark(passed=result.passed)
    typer.echo(f"{mark}  {result.where:{width}}  {result.case.name}")
    if result.passed:
        return
    for check in result.checks:
        if check.holds:
            note(f"        {check.key}: {check.actual}, as expected")
        else:
            line = f"{check.key}: expected {check.expected}, got {check.actual}"
            typer.echo("        " + typer.style(line, fg="red"))
    for line in str(result.explanation).splitlines():
        note(f"        {line}")


def _mark(*, passed: bool) -> str:
    if passed:
        return typer.style("ok    ", fg="green")
    return typer.style("FAILED", fg="red", bold=True)


def _covered(report: CasesReport) -> Table:
    made = Table("", "name", "line", "tests", right=("line", "tests"))
    for rule in report.coverage.rules:
        kind = f"observed {rule.kind}" if rule.observe else rule.kind
        tests = str(rule.cases) if rule.cases else Coloured("none", "yellow")
        made.add_row(kind, rule.name, str(rule.line), tests)
    return made


def _verdict(one: Tested, report: CasesReport) -> str:
    coverage = report.coverage
    covered, rules = len(coverage.rules) - len(coverage.uncovered), len(coverage.rules)
    share = f"{covered} of {rules} {coverage.kinds} covered ({coverage.percent:.4g} %)"
    return f"{one.path}: {_counts([one])}; {share}"


def _counts(found: Sequence[Tested]) -> str:
    results = [result for one in found for result in one.selected]
    failed = sum(not result.passed for result in results)
    if failed:
        told = f"{failed} of {plural(len(results), 'test')} failed"
        return typer.style(told, fg="red", bold=True)
    return typer.style(f"{plural(len(results), 'test')} passed", fg="green")


def _totals(found: Sequence[Tested]) -> str:
    broken = sum(one.error is not None for one in found)
    unloaded = f", {plural(broken, 'policy file')} with problems" if broken else ""
    return f"{plural(len(found), 'policy file')}: {_counts(found)}{unloaded}"


def _facts(one: Tested) -> dict[str, Any]:
    told: dict[str, Any] = {"file": str(one.path), "ok": one.good}
    if one.report is None:
        return told | ({"error": error_facts(one.error)} if one.error is not None else {})
    told |= one.report.to_dict() | {"tests": [result.to_dict() for result in one.selected]}
    return told if one.too_little is None else told | {"too_little": one.too_little}
