"""From a scenario's shape to its values: names of models and machines, and what holds without a key."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from hybridllm._core.economics.facts import EconomicFacts, GpuClass
from hybridllm._core.economics.ranges import NOTHING, Range, exactly
from hybridllm._core.economics.scenario import (
    Hidden,
    Machines,
    ModelShare,
    Per,
    Purchase,
    Scenario,
)
from hybridllm._core.economics.schema import ApiPriceSpec, PartSpec, ScenarioSpec
from hybridllm._core.economics.sums import MTOK
from hybridllm._core.money.book import Book
from hybridllm._core.money.price import Price
from hybridllm._core.policy.document import Findings, Node, Path, listed, quoted, value_place

DEVOPS = "devops_engineer_partial"
"""The sources' people among the hidden costs; left out where somebody says how much time engineers spend."""


def compiled_scenario(
    spec: ScenarioSpec,
    root: Node,
    findings: Findings,
    *,
    book: Book,
    facts: EconomicFacts,
    name: str,
) -> Scenario | None:
    """Return the scenario; None: a name is unknown, or a figure that cannot be left out, and that is told."""
    asked = _Asked(spec, root, findings, book, facts)
    traffic = tuple(asked.traffic())
    machines = asked.machines()
    also = tuple(asked.also(traffic))
    if findings.failed:
        return None
    return Scenario(
        name=spec.name or name,
        tokens_per_day=spec.tokens_per_day,
        traffic=traffic,
        machines=machines,
        days_per_month=spec.days_per_month,
        growth_per_month=spec.growth or NOTHING,
        price_decline_per_month=spec.price_decline or NOTHING,
        gpu_price_decline_per_month=spec.gpu_price_decline or NOTHING,
        months=spec.months,
        strict_residency=spec.residency == "strict",
        idle_gpus=spec.idle_gpus,
        production=spec.environment == "production",
        stable_days=spec.stable_days,
        also=also,
        notes=(*_traffic_notes(traffic), *_machine_notes(machines, facts)),
    )


class _Asked:
    """A scenario that is filled in."""

    def __init__(
        self, spec: ScenarioSpec, root: Node, findings: Findings, book: Book, facts: EconomicFacts
    ) -> None:
        self._spec, self._root, self._findings = spec, root, findings
        self._book, self._facts = book, facts

    def traffic(self) -> Iterator[ModelShare]:
        """Yield the parts of the traffic."""
        spec = self._spec
        if spec.model is not None:
            whole = PartSpec(
                share=Decimal(1), input_share=spec.input_share, cached=spec.cached, price=spec.price
            )
            yield from self._part(spec.model, whole, ("model",))
        for model, part in (spec.models or {}).items():
            yield from self._part(model, part, ("models", model))

    def also(self, traffic: tuple[ModelShare, ...]) -> Iterator[ModelShare]:
        """Yield other models with the mix of the first."""
        for number, model in enumerate(self._spec.also):
            price = self._price(model, None, ("also", number))
            if price is not None and traffic:
                first = traffic[0]
                yield ModelShare(model, price, Decimal(1), first.input_share, first.cached_share)

    def _part(self, model: str, part: PartSpec, path: Path) -> Iterator[ModelShare]:
        price = self._price(model, part.price, path)
        if price is not None:
            yield ModelShare(
                model, price, part.share, part.input_share or NOTHING, part.cached or NOTHING
            )

    def _price(self, model: str, given: ApiPriceSpec | None, path: Path) -> Price | None:
        if given is not None:
            return Price(
                given.input_per_1m, given.output_per_1m, given.cached_input_per_1m, given.price_id
            )
        entry = self._book.get(model)
        if entry is not None and entry.price is not None:
            return entry.price
        known = (
            f"model {quoted(model)} has no known price"
            if entry
            else f"unknown model {quoted(model)}"
        )
        hint = "" if entry else self._findings.hint(model, self._book.names())
        self._tell(
            path, f"{known}{hint}; say what the API asks under price, as IN/OUT per 1M tokens"
        )
        return None

    def machines(self) -> Machines | None:
        """Return the machines, if any are named."""
        spec = self._spec
        if spec.gpu is None and spec.gpu_usd_per_month is None:
            return None
        known = self._facts.gpu(spec.gpu) if spec.gpu is not None else None
        purchase = Purchase(spec.purchase)
        usd = spec.gpu_usd_per_month or self._gpu_usd(known, purchase)
        if usd is None:
            return None
        capacity, source = _capacity(spec, known)
        return Machines(
            gpus=known.name if known is not None else spec.gpu or "own machines",
            purchase=purchase,
            usd_per_month=usd,
            tokens_per_day=capacity,
            capacity_source=source,
            utilisation=spec.utilisation or exactly(1),
            spare_sets=spec.redundancy,
            regions=spec.regions,
            hidden=self._hidden(purchase),
            engineers=spec.engineers,
            engineer_usd_per_year=spec.engineer_usd_per_year or self._facts.engineer_usd_per_year,
            engineer_share=spec.engineer_share or NOTHING,
            usd_per_mtok=spec.own_usd_per_1m,
        )

    def _gpu_usd(self, known: GpuClass | None, purchase: Purchase) -> Range | None:
        gpu = self._spec.gpu or ""
        if known is None:
            names = ", ".join(one.name for one in self._facts.gpus)
            message = f"of {quoted(gpu)} the sources know no price; they know {names}"
            self._tell(("gpu",), f"{message}; for others say gpu_usd_per_month")
            return None
        usd = known.usd_per_month.get(purchase)
        if usd is None:
            forms = listed([one.value for one in known.usd_per_month])
            message = f"the sources know no {purchase.value} price of {known.name}; known: {forms}"
            self._tell(("purchase",), f"{message}; for others say gpu_usd_per_month")
        return usd

    def _hidden(self, purchase: Purchase) -> tuple[Hidden, ...]:
        facts, given = self._facts, self._spec.hidden
        known = (*facts.hidden, *facts.hidden_on_prem)
        if given is not None:
            pers = {one.name: one.per for one in known}
            return tuple(Hidden(name, usd, pers.get(name, Per.ONCE)) for name, usd in given.items())
        if purchase is not Purchase.ON_PREM:
            known = facts.hidden
        people = self._spec.engineer_share is not None
        return tuple(one for one in known if not (people and one.name == DEVOPS))

    def _tell(self, path: Path, message: str) -> None:
        self._findings.error(value_place(self._root, path), path, message)


def _capacity(spec: ScenarioSpec, known: GpuClass | None) -> tuple[Range | None, str]:
    if spec.gpu_tokens_per_day is not None:
        return spec.gpu_tokens_per_day, "given"
    if known is not None and known.tokens_per_day is not None:
        return exactly(known.tokens_per_day), "the sources"
    return None, ""


def _traffic_notes(traffic: tuple[ModelShare, ...]) -> Iterator[str]:
    flat = [
        part.model
        for part in traffic
        if part.cached_share.high and part.price.usd_per_mtok_cached_in is None
    ]
    if flat:
        yield (
            f"no cached price is known for {', '.join(flat)}: cached prompt tokens are billed in full here; "
            "say it with price: IN/OUT/CACHED"
        )


def _machine_notes(machines: Machines | None, facts: EconomicFacts) -> Iterator[str]:
    if machines is None:
        return
    can = machines.tokens_per_day
    if can is None:
        known = next((one for one in facts.gpus if one.tokens_per_day is not None), None)
        told = f"what {machines.gpus} can process is not known, so one set is taken to be enough"
        if known is not None and known.tokens_per_day is not None:
            told += f"; the sources say {known.tokens_per_day / MTOK:,.0f}M tokens a day of {known.name}"
        yield f"{told}: measure yours, and say gpu_tokens_per_day"
    elif machines.capacity_source == "the sources":
        yield (
            f"{can.likely / MTOK:,.0f}M tokens a day is what the sources say of {machines.gpus}, of no model "
            "in particular: measure yours, and say gpu_tokens_per_day"
        )
    if can is not None and machines.utilisation == exactly(1):
        yield "machines are taken to be busy all day; traffic with peaks needs more of them: utilisation"
