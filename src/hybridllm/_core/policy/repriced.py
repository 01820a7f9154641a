"""The same policy at other prices: those of a price sheet, or the least that it ever has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from hybridllm._core.money.tariff import SheetEntry, Tariff, plain_entry
from hybridllm._core.policy.compiled import Candidate, Policy, Use
from hybridllm._core.policy.pricing import names_of, price_fields, priced


@dataclass(frozen=True, slots=True)
class PriceSheet:
    """Prices in a file of their own.

    Attributes:
        name: Of the file, without its ending.
        version: `sha256:` and 12 hex digits of its content's digest.
    """

    name: str
    version: str
    entries: tuple[SheetEntry, ...]


def with_prices(policy: Policy, sheet: PriceSheet) -> Policy:
    """Return a policy that charges by a price sheet, wherever that has a price, and else as it did.

    The sheet goes before everything that the policy says, a pair's own price included. Backends of one's own
    take from it what names them. Price tiers of models stay what they were.
    """

    def charged(one: Candidate) -> Candidate:
        known = one.tariff
        if known is None:
            own = () if one.price is None else (plain_entry(one.price),)
            known = Tariff(names_of(one), one.backend.name, one.backend.own, declared=own)
        return priced(one, replace(known, over=sheet.entries))

    made = _with_candidates(policy, charged)
    return replace(made, version=f"{policy.version}+{sheet.version}")


def at_its_cheapest(policy: Policy) -> Policy:
    """Return a policy whose every price is the least that it ever is.

    Whoever a ceiling on prices lets through at some time, of some length, it lets through there: what is
    proved of that policy holds of the other at all times.
    """
    if not policy.prices_differ:
        return policy
    return _with_candidates(
        policy,
        lambda one: (
            one if one.tariff is None else replace(one, price=one.tariff.least, tariff=None)
        ),
    )


def _with_candidates(policy: Policy, changed: Callable[[Candidate], Candidate]) -> Policy:
    new = {
        one: changed(one)
        for served in (
            *policy.candidates.values(),
            *(use.candidates for route in policy.routes for use in route.use),
        )
        for one in served
    }
    candidates = {
        model: tuple(new[one] for one in served) for model, served in policy.candidates.items()
    }
    return replace(
        policy,
        candidates=MappingProxyType(candidates),
        routes=tuple(replace(route, use=_uses(route.use, new)) for route in policy.routes),
        **price_fields(candidates, policy.listed, policy.environment),
        memo={},
    )


def _uses(uses: Iterable[Use], new: Mapping[Candidate, Candidate]) -> tuple[Use, ...]:
    return tuple(replace(use, candidates=tuple(new[one] for one in use.candidates)) for use in uses)
