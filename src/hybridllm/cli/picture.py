"""A policy at a glance: backends, models with prices, what each residency tag can reach, routes.

What a tag can reach is the matrix of the proof: a second reading of the rules could say something else than
what happens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli.output import headline, note, paragraph, price_columns, tokens
from hybridllm.cli.picture_hybrid import (
    COLUMNS,
    hybrid_lines,
    load_facts,
    load_rows,
    overflow_facts,
    overflow_lines,
)
from hybridllm.cli.tables import Cell, Coloured, Table, show

if TYPE_CHECKING:
    from hybridllm import Candidate, PolicyReport

PINNED = "(pinned)"
_ORDERS = {
    "load": "by load",
    "price": "by price",
    "latency": "by latency",
    "marginal_price": "by marginal price",
    "prefix": "by prefix",
    "file": "in this order",
}


def facts(report: PolicyReport) -> dict[str, Any]:
    """Return the picture as a JSON object."""
    policy = report.policy
    return {
        "policy": policy.name,
        "version": policy.version,
        "environment": policy.environment,
        "default_residency": default_residency(report),
        "backends": {name: _backend_facts(one) for name, one in policy.backends.items()},
        "models": {
            name: {
                "context_tokens": model.context_tokens,
                "capabilities": sorted(model.capabilities),
                "on": {
                    candidate.backend.name: {
                        "name": candidate.wire_model,
                        "price": _price_facts(_price(candidate, report)),
                    }
                    for candidate in policy.candidates.get(name, ())
                },
            }
            for name, model in policy.models.items()
        },
        "residency": {
            row.tag: {
                "allowed": [cell.backend for cell in row.cells if cell.allowed],
                "refused": {cell.backend: cell.detail for cell in row.cells if not cell.allowed},
            }
            for row in report.matrix.rows
            if row.tag is not None
        },
        "routes": [
            {
                "name": route.name,
                "mode": mode(route),
                "when": route.when.to_dict(),
                "use": _uses(route.use),
                "overflow": overflow_facts(route),
            }
            for route in policy.routes
        ],
        "constraints": [
            {"name": one.name, "mode": mode(one), "when": one.when.to_dict()}
            for one in policy.constraints
        ],
        "matrix": report.matrix.to_dict(),
    }


def draw(report: PolicyReport) -> None:
    """Print the picture."""
    matrix = report.matrix
    headline("Backends")
    show(_backends(report))
    if rows := load_rows(report):
        headline("What own machines cost, and when a backend has enough to do")
        show(_loads(rows))
    headline("Models, with prices in USD per 1M tokens")
    show(_models(report))
    if matrix.rows:
        headline("Which backends a residency tag reaches, by which routes; or why it never does")
        show(_residency(report))
    if matrix.constraints:
        headline("Which backends are reached while a constraint holds")
        show(_constraints(report))
    headline("Routes; the first that matches decides")
    show(_routes(report))
    typer.echo()
    for line in denied_lines(report):
        paragraph(line)
    for line in proof_lines(report):
        note(line)


def denied_lines(report: PolicyReport) -> list[str]:
    """Return which plain requests are denied, in sentences."""
    without_tag = {
        "deny": "is denied",
        None: "may go to every backend",
    }.get(tag := default_residency(report), f"carries the tag {tag!r}")
    told = [f"A request without a residency tag {without_tag}."]
    for one in report.matrix.unserved:
        if one.capability is None:
            tags = " or ".join(tag or "no tag" for tag in one.tags)
            tasks = ", ".join(task or "no task" for task in one.tasks) or "any"
            told.append(f"Denied: residency {tags}, task {tasks} ({', '.join(one.rules)}).")
    return told


def proof_lines(report: PolicyReport) -> list[str]:
    """Return what was proved and how, in sentences."""
    matrix = report.matrix
    proved = (
        f"Proved: one request of each kind, {matrix.decisions:,} of them, was decided as in production; "
        "everybody reached may see the data, in a second reading of the tags."
    )
    return [
        proved,
        *hybrid_lines(report),
        *(f"This is not exact: {note}." for note in matrix.notes),
    ]


def _backends(report: PolicyReport) -> Table:
    policy = report.policy
    columns = ("backend", "kind", "region", "operator", "retention", "only in", "base URL")
    made = Table(*columns, prose=("only in", "base URL"))
    for one in policy.backends.values():
        made.add_row(
            one.name,
            one.kind.value,
            one.region or "undeclared",
            one.operator or "undeclared",
            one.retention or "undeclared",
            ", ".join(sorted(one.environments)) or "-",
            one.base_url,
        )
    return made


def _models(report: PolicyReport) -> Table:
    policy = report.policy
    made = Table(
        *("model", "context", "capabilities", "on", "known there as", "in", "out"),
        right=("context", "in", "out"),
        prose=("capabilities",),
    )
    for name, model in policy.models.items():
        head = (name, tokens(model.context_tokens), ", ".join(sorted(model.capabilities)) or "-")
        for candidate in policy.candidates.get(name, ()):
            price = _price(candidate, report)
            made.add_row(
                *head,
                candidate.backend.name,
                candidate.wire_model,
                *price_columns(
                    price.usd_per_mtok_in if price else None,
                    price.usd_per_mtok_out if price else None,
                ),
            )
            head = ("", "", "")
        if head[0]:
            made.add_row(*head, "nobody", "", "", "")
    return made


def _residency(report: PolicyReport) -> Table:
    rows = report.matrix.rows
    made = Table("residency tag", *(cell.backend for cell in rows[0].cells))
    for row in rows:
        made.add_row(row.tag or "(none)", *(_cell(report, cell) for cell in row.cells))
    return made


def _constraints(report: PolicyReport) -> Table:
    limited = report.matrix.constraints
    names = [cell.backend for cell in limited[0].cells]
    made = Table("constraint", "holds for", *names, prose=("holds for",))
    for one in limited:
        cells = (_cell(report, cell) for cell in one.cells)
        made.add_row(one.constraint, one.when, *cells)
    return made


def _cell(report: PolicyReport, cell: Any) -> Cell:
    """Return the numbers of the routes that lead to a backend, or why none may."""
    if not cell.allowed:
        return Coloured(f"no: {cell.reason}", "red")
    if not cell.routes:
        return "nothing leads there"
    order = {route.name: number for number, route in enumerate(report.policy.routes, start=1)}
    numbers = ranges(order[name] for name in cell.routes if name != PINNED)
    parts = [*([numbers] if numbers else []), *(["pin"] if PINNED in cell.routes else [])]
    return Coloured(", ".join(parts), "green")


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers in order as people write them: `1-3, 5`."""
    told: list[list[int]] = []
    before = None
    for number in numbers:
        if before is not None and number == before + 1:
            told[-1][1:] = [number]
        else:
            told.append([number])
        before = number
    return ", ".join("-".join(map(str, run)) for run in told)


def _routes(report: PolicyReport) -> Table:
    policy = report.policy
    made = Table("", "route", "when", "use, in order", right=("",), prose=("when", "use, in order"))
    for number, route in enumerate(policy.routes, start=1):
        observed = " (observed)" if route.observe else ""
        head = (str(number), route.name + observed, str(route.when))
        for told in (*map(use_text, route.use), *overflow_lines(route)):
            made.add_row(*head, told)
            head = ("", "", "")
    return made


def _loads(rows: list[tuple[str, ...]]) -> Table:
    made = Table(*COLUMNS, prose=COLUMNS[1:])
    for row in rows:
        made.add_row(*row)
    return made


def use_text(use: Any) -> str:
    """Return who is asked by an entry of a route, and what orders them."""
    told = ", ".join(one.name for one in use.candidates)
    if use.weights:
        told += f" ({use.what} by {use.sticky_by})"
    elif len(use.candidates) > 1:
        told += f" ({_ORDERS[use.order_by.value]})"
    return f"fallback {told}" if use.fallback else told


def mode(rule: Any) -> str:
    """Return whether a route or constraint is enforced, as the policy writes it."""
    return "observe" if rule.observe else "enforce"


def default_residency(report: PolicyReport) -> str | None:
    """Return the tag of a request without one; `deny`: it is denied; None: it carries none."""
    policy = report.policy
    return "deny" if policy.deny_untagged else policy.default_residency


def _backend_facts(backend: Any) -> dict[str, Any]:
    names = ("base_url", "api_key_env", "region", "operator", "retention")
    return {
        "kind": backend.kind.value,
        **{name: getattr(backend, name) for name in names},
        "environments": sorted(backend.environments),
        **load_facts(backend),
    }


def _uses(uses: Any) -> list[dict[str, Any]]:
    return [
        {
            "what": use.what,
            "candidates": [candidate.name for candidate in use.candidates],
            "order_by": use.order_by.value,
            "fallback": use.fallback,
        }
        for use in uses
    ]


def _price(candidate: Candidate, report: PolicyReport) -> Any:
    """The price of a short request when the policy was checked; without a time, the last declared."""
    at = report.checked_at
    return candidate.price if at is None else candidate.price_at(at)


def _price_facts(price: Any) -> dict[str, str | None] | None:
    if price is None:
        return None
    return {
        "input_per_1m": str(price.usd_per_mtok_in),
        "output_per_1m": str(price.usd_per_mtok_out),
        "cached_input_per_1m": price.usd_per_mtok_cached_in and str(price.usd_per_mtok_cached_in),
        "cache_write_per_1m": price.usd_per_mtok_cache_write
        and str(price.usd_per_mtok_cache_write),
        "per_request": price.usd_per_request and str(price.usd_per_request),
        "price_id": price.price_id,
    }
