"""What the first act says at its end: for people, and as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli import explain_tables
from hybridllm.cli.demo.ends import stopped_facts, stopped_line, unexpected, unexpected_lines
from hybridllm.cli.demo.outage.act import Phase
from hybridllm.cli.demo.outage.world import MAY_SEE
from hybridllm.cli.demo.tally import Ending, Tally
from hybridllm.cli.output import headline, paragraph, percent, plural, usd
from hybridllm.cli.quantiles import quantile

if TYPE_CHECKING:
    from hybridllm import Explanation, Receipt
    from hybridllm.cli.demo.run import Course


def draw(course: Course, explained: Explanation) -> None:
    """Print the end of the act, below the last picture."""
    tally = course.tally
    typer.echo()
    stopped_line(course)
    _verdict(tally)
    failover = _a_failover(tally)
    if failover is not None:
        headline("One failover, as its caller's receipt tells it")
        typer.echo(str(failover))
    headline("One decision, as `hybridllm explain` tells it")
    explain_tables.draw(explained)


def _verdict(tally: Tally) -> None:
    answered, cut = tally.count(Ending.ANSWERED), tally.count(Ending.CUT)
    denied, failed = tally.count(Ending.DENIED), tally.count(Ending.UNEXPECTED)
    allowed = answered + cut + failed
    share = typer.style(
        f"{percent(answered, allowed)} answered", fg="red" if failed else "green", bold=True
    )
    typer.echo(f"{share}: {answered} of the {allowed} requests that the policy allows.")
    paragraph(
        f"{plural(tally.switches('failover'), 'failover')} to another backend, "
        f"{plural(tally.switches('fallback'), 'fallback')} to another model, "
        f"{plural(tally.switches('retry'), 'repeat')} on the same one."
    )
    if cut:
        paragraph(
            f"{plural(cut, 'stream')} lost the region after the first token. The demo asks for no "
            "more (`on_interrupt`), so its caller gets a StreamInterrupted that holds the text so far."
        )
    if not failed:
        tagged = sum(record.ask.residency in MAY_SEE for record in tally.records)
        paragraph(
            f"{plural(tagged, 'request')} with a residency tag ({', '.join(MAY_SEE)}): every attempt, "
            "during the outage too, went where the tag allows."
        )
    if denied:
        paragraph(
            f"{denied} denied, as they must be: residency tag 'ue' is a misspelt 'eu'. Nothing was sent."
        )
    cost = f"Cost {usd(tally.cost_usd())}; {usd(tally.cost_wasted_usd())} of it bought no answer."
    if incomplete := tally.incomplete():
        cost += f" {plural(incomplete, 'request')} may have cost more: broken before the usage was told."
    paragraph(cost)
    unexpected_lines(tally)


def facts(course: Course, explained: Explanation, *, ok: bool) -> dict[str, Any]:
    """Return the end of the act as a JSON object."""
    tally = course.tally
    answered = tally.count(Ending.ANSWERED)
    allowed = len(tally.records) - tally.count(Ending.DENIED) - tally.count(Ending.STOPPED)
    return {
        "ok": ok,
        **stopped_facts(course),
        "success_rate": answered / allowed if allowed else None,
        "failovers": tally.switches("failover"),
        "fallbacks": tally.switches("fallback"),
        "retries": tally.switches("retry"),
        "cost_usd": str(tally.cost_usd()),
        "cost_wasted_usd": str(tally.cost_wasted_usd()),
        "requests_with_unknown_cost": tally.incomplete(),
        "tenants": {
            name: {"requests": line.count, "cost_usd": str(line.cost_usd)}
            for name, line in tally.by_tenant().items()
        },
        "models": {
            name: {"attempts": line.count, "cost_usd": str(line.cost_usd)}
            for name, line in tally.by_model().items()
        },
        "backends": {
            name: {
                "served": line.count,
                "failed": line.failed,
                "cost_usd": str(line.cost_usd),
                "p50_s": quantile(line.durations_s, 0.5),
                "p99_s": quantile(line.durations_s, 0.99),
            }
            for name, line in tally.by_backend(now_s=course.now_s).items()
        },
        "phases": {phase.name.lower(): _phase_facts(tally, phase) for phase in Phase},
        "unexpected": [record.error for record in unexpected(tally)],
        "explained": explained.to_dict(),
    }


def _phase_facts(tally: Tally, phase: Phase) -> dict[str, Any]:
    durations_s = tally.durations_s(phase)
    return {
        **{ending.value: tally.count(ending, phase) for ending in Ending},
        "failovers": tally.switches("failover", phase),
        "fallbacks": tally.switches("fallback", phase),
        "p50_s": quantile(durations_s, 0.5),
        "p99_s": quantile(durations_s, 0.99),
        "first_token_p50_s": quantile(tally.first_tokens_s(phase), 0.5),
    }


def _a_failover(tally: Tally) -> Receipt | None:
    """Return the receipt of the first request that another backend answered."""
    for record in tally.records:
        made = record.receipt
        if made is None or record.ending is not Ending.ANSWERED:
            continue
        if any(attempt.reason == "failover" for attempt in made.attempts):
            return made
    return None
