"""A policy at a glance: backends, models with prices, what each residency tag allows, routes.

What a tag allows is asked of the router itself, by explaining a request with that tag for every model:
a second reading of the rules could say something else than what happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli.output import headline, note, price_columns, tokens
from hybridllm.cli.tables import Coloured, Table, show

if TYPE_CHECKING:
    from hybridllm import PolicyReport

_ABOUT_DATA = frozenset({"region", "operator", "retention"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a residency tag keeps a backend out: in one word, and in a sentence."""

    reason: str
    detail: str


# Tag -> backend -> None if the tag allows it. A backend that serves no model is not asked about.
Reach = Mapping[str, Mapping[str, Refusal | None]]


def reach_of(report: PolicyReport) -> Reach:
    """Return, for every residency tag of a policy, which backends it allows."""
    from hybridllm import Router

    router = Router(report.policy)
    found: dict[str, dict[str, Refusal | None]] = {}
    for tag in router.policy.residency:
        backends = found.setdefault(tag, {})
        for model, candidates in router.policy.candidates.items():
            backends |= {candidate.backend.name: None for candidate in candidates}
            for drop in router.explain(residency=tag, model=model).plan.dropped:
                if drop.reason.value in _ABOUT_DATA:
                    refusal = Refusal(drop.reason.value, drop.detail)
                    backends[drop.candidate.backend.name] = refusal
    return found


def facts(report: PolicyReport, reach: Reach) -> dict[str, Any]:
    """Return the picture as a JSON object."""
    policy = report.policy
    return {
        "policy": policy.name,
        "version": policy.version,
        "environment": policy.environment,
        "default_residency": _default_residency(report),
        "backends": {name: _backend_facts(one) for name, one in policy.backends.items()},
        "models": {
            name: {
                "context_tokens": model.context_tokens,
                "capabilities": sorted(model.capabilities),
                "on": {
                    candidate.backend.name: {
                        "name": candidate.wire_model,
                        "price": _price_facts(candidate.price),
                    }
                    for candidate in policy.candidates.get(name, ())
                },
            }
            for name, model in policy.models.items()
        },
        "residency": {
            tag: {
                "allowed": [name for name, why in backends.items() if why is None],
                "refused": {name: why.detail for name, why in backends.items() if why},
            }
            for tag, backends in reach.items()
        },
        "routes": [
            {"name": route.name, "when": route.when.to_dict(), "use": _uses(route.use)}
            for route in policy.routes
        ],
    }


def draw(report: PolicyReport, reach: Reach) -> None:
    """Print the picture."""
    headline("Backends")
    show(_backends(report))
    headline("Models, with prices in USD per 1M tokens")
    show(_models(report))
    headline("Which backends a residency tag allows")
    show(_residency(report, reach))
    headline("Routes; the first that matches decides")
    show(_routes(report))
    without_tag = {
        "deny": "is denied",
        None: "may go to every backend",
    }.get(tag := _default_residency(report), f"carries the tag {tag!r}")
    typer.echo()
    note(f"A request without a residency tag {without_tag}.")


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
            price = candidate.price
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


def _residency(report: PolicyReport, reach: Reach) -> Table:
    policy = report.policy
    names = [name for name in policy.backends if any(name in row for row in reach.values())]
    made = Table("residency tag", *names)
    for tag, backends in reach.items():
        cells = [
            Coloured(f"no: {why.reason}", "red") if why else Coloured("yes", "green")
            for why in (backends[name] for name in names)
        ]
        made.add_row(tag, *cells)
    return made


def _routes(report: PolicyReport) -> Table:
    policy = report.policy
    made = Table("", "route", "when", "use, in order", right=("",), prose=("when", "use, in order"))
    for number, route in enumerate(policy.routes, start=1):
        head = (str(number), route.name, str(route.when))
        for one in _uses(route.use):
            kind = "fallback " if one["fallback"] else ""
            made.add_row(*head, f"{kind}{', '.join(one['candidates'])}")
            head = ("", "", "")
    return made


def _default_residency(report: PolicyReport) -> str | None:
    policy = report.policy
    return "deny" if policy.deny_untagged else policy.default_residency


def _backend_facts(backend: Any) -> dict[str, Any]:
    names = ("base_url", "api_key_env", "region", "operator", "retention")
    return {
        "kind": backend.kind.value,
        **{name: getattr(backend, name) for name in names},
        "environments": sorted(backend.environments),
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


def _price_facts(price: Any) -> dict[str, str | None] | None:
    if price is None:
        return None
    return {
        "input_per_1m": str(price.usd_per_mtok_in),
        "output_per_1m": str(price.usd_per_mtok_out),
        "cached_input_per_1m": price.usd_per_mtok_cached_in and str(price.usd_per_mtok_cached_in),
        "price_id": price.price_id,
    }
