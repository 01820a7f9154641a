"""From the sums of groups to a report: what stands is exact, what moves is estimated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hybridllm._core.backtest.drawn import Drawn
from hybridllm._core.backtest.estimate import cost_with, failing_at_most, mixed
from hybridllm._core.backtest.groups import EXAMPLES_MAX, Alike
from hybridllm._core.backtest.histogram import Histogram, Part, Spread, quantile_us
from hybridllm._core.backtest.judge import Destination, Kind
from hybridllm._core.backtest.notes import notes_of
from hybridllm._core.backtest.report import (
    BacktestReport,
    Bounded,
    BoundedUsd,
    CandidateChange,
    Found,
    LatencyChange,
)
from hybridllm._core.backtest.seen import SeenAll
from hybridllm._core.ledger.periods import instant
from hybridllm._core.money.pico import usd_of
from hybridllm._core.policy.compiled import Policy

PERCENTILES = (50, 95, 99)


@dataclass(slots=True)
class Sum:
    """A sum of what is exact and of what is estimated."""

    before: int = 0
    kept: int = 0
    value: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def stays(self, before: int, after: int) -> None:
        """Add what is known on both sides."""
        self.before += before
        self.kept += after

    def estimated(self, spread: Spread) -> None:
        """Add what is estimated on the one side."""
        self.value += spread.value or 0.0
        self.low += spread.low or 0.0
        self.high += spread.high or 0.0

    def bounded(self) -> Bounded:
        """Return it as a number."""
        after = (self.kept + one for one in (self.value, self.low, self.high))
        return Bounded(self.before, *after)

    def usd(self) -> BoundedUsd:
        """Return it as money; it is in 10^-12 USD."""
        after = (usd_of(self.kept + round(one)) for one in (self.value, self.low, self.high))
        return BoundedUsd(usd_of(self.before), *after)


@dataclass(slots=True)
class _Totals:
    cost: Sum = field(default_factory=Sum)
    unpriced: Sum = field(default_factory=Sum)
    answered: Sum = field(default_factory=Sum)
    overflowed: Sum = field(default_factory=Sum)
    cached: Sum = field(default_factory=Sum)
    requests_of: dict[str, Sum] = field(default_factory=dict)
    cost_of: dict[str, Sum] = field(default_factory=dict)
    whole_before: list[Part] = field(default_factory=list)
    whole_after: list[Part] = field(default_factory=list)
    first_before: list[Part] = field(default_factory=list)
    first_after: list[Part] = field(default_factory=list)


def summary_of(
    groups: Iterable[Alike],
    seen: SeenAll,
    policy: Policy,
    *,
    ledger: str,
    first_us: int | None,
    last_us: int | None,
) -> BacktestReport:
    """Return the report of all groups."""
    groups = list(groups)
    drawn = Drawn(groups)
    totals = _Totals()
    kept = denied = 0
    moved = 0.0
    for group in groups:
        verdict, count = group.same.verdict, group.requests
        if verdict.kind is Kind.DENIED:
            denied += count
            _denied(group, totals)
        elif verdict.kind is Kind.KEPT:
            leaving = drawn.leaving(group)
            away = sum(share for share, _ in leaving)
            moved += away * count
            kept += count if not leaving else 0
            _kept(group, totals, 1.0 - away)
            for share, target in leaving:
                _moved(group, totals, seen, [(1.0, target)], share)
        else:
            moved += count
            _before(group, totals)
            _moved(group, totals, seen, [(t.share, t) for t in verdict.targets], 1.0)
    return BacktestReport(
        ledger,
        policy.name,
        policy.version,
        None if first_us is None else instant(first_us),
        None if last_us is None else instant(last_us),
        sum(group.requests for group in groups),
        kept,
        moved,
        denied,
        totals.cost.usd(),
        totals.unpriced.bounded(),
        totals.answered.bounded(),
        totals.overflowed.bounded(),
        totals.cached.bounded(),
        tuple(_latencies(totals)),
        _candidates(totals),
        _found(groups),
        notes_of(groups, drawn, policy, seen),
    )


def _before(group: Alike, totals: _Totals) -> None:
    """Add what is recorded of requests that do not stand."""
    same = group.same
    totals.cost.before += group.cost_pico
    totals.unpriced.before += group.unpriced
    totals.answered.before += group.requests if same.answered else 0
    totals.overflowed.before += group.overflowed
    totals.cached.before += group.requests if same.cache else 0
    if same.served is not None:
        totals.requests_of.setdefault(same.served, Sum()).before += group.requests
        totals.cost_of.setdefault(same.served, Sum()).before += group.cost_pico
    if group.whole.count:
        totals.whole_before.append(Part(group.whole.count, group.whole, exact=True))
    if group.first.count:
        totals.first_before.append(Part(group.first.count, group.first, exact=True))


def _kept(group: Alike, totals: _Totals, share: float) -> None:
    """Add requests of which a share stands: all of them, unless a split is weighed otherwise now."""
    _before(group, totals)
    same, count = group.same, group.requests
    sums = [
        (totals.cost, group.now_pico),
        (totals.unpriced, group.unpriced_now),
        (totals.answered, count if same.answered else 0),
        (totals.overflowed, group.overflowed),
        (totals.cached, count if same.cache else 0),
    ]
    if same.served is not None:
        sums += [
            (totals.requests_of[same.served], count),
            (totals.cost_of[same.served], group.now_pico),
        ]
    for one, after in sums:
        if share == 1.0:
            one.kept += after
        else:
            one.estimated(Spread.exact(after * share))
    for histogram, parts in ((group.whole, totals.whole_after), (group.first, totals.first_after)):
        if histogram.count:
            parts.append(Part(histogram.count * share, histogram, exact=True))


def _denied(group: Alike, totals: _Totals) -> None:
    """Add requests that are denied now: they cost nothing, and nobody answers them."""
    _before(group, totals)


def _moved(
    group: Alike,
    totals: _Totals,
    seen: SeenAll,
    targets: list[tuple[float, Destination]],
    share: float,
) -> None:
    """Add the share of a group's requests that somebody else is asked first for."""
    same, count = group.same, group.requests * share
    costs = [(part, cost_with(group, target, seen)) for part, target in targets]
    whole = mixed(costs, group.requests)
    # An answer from the cache may well come from it still: nobody is asked, at the least.
    low = 0.0 if same.cache else whole.spread.low
    value = 0.0 if same.cache else whole.spread.value
    totals.cost.estimated(_times(Spread(value, low, whole.spread.high), share))
    totals.unpriced.estimated(Spread.exact(whole.unpriced * share))
    if same.cache:
        totals.cached.estimated(Spread(count, 0.0, count))
    if same.verdict.full:
        totals.overflowed.estimated(Spread.exact(count))
    for (part, target), (_, cost) in zip(targets, costs, strict=True):
        failing = failing_at_most(group, target, seen)
        totals.answered.estimated(Spread(count * part, count * part * (1 - failing), count * part))
        if target.spill is not None and not same.verdict.full:
            totals.overflowed.estimated(Spread(0.0, 0.0, count * part))
        name = target.candidate.name
        least = 0.0 if target.spill is not None else count * part * (1 - failing)
        of = totals.requests_of.setdefault(name, Sum())
        of.estimated(Spread(count * part, least, count * part))
        totals.cost_of.setdefault(name, Sum()).estimated(_times(cost.spread, share * part))
        unsure = count * part * (failing if target.spill is None else 1.0)
        known = seen.of(name, same.task)
        totals.whole_after.append(
            Part(count * part, None if known is None else known.whole, unsure=unsure)
        )
        streams = group.first.count * share * part
        if streams:
            first: Histogram | None = None if known is None else known.first
            totals.first_after.append(Part(streams, first, unsure=unsure * streams / count))


def _times(spread: Spread, share: float) -> Spread:
    return Spread(*((one or 0.0) * share for one in spread))


def _latencies(totals: _Totals) -> Iterator[LatencyChange]:
    for what, before, after in (
        ("answer", totals.whole_before, totals.whole_after),
        ("first_token", totals.first_before, totals.first_after),
    ):
        for percentile in PERCENTILES:
            was = quantile_us(before, percentile / 100).value
            now = quantile_us(after, percentile / 100)
            if was is not None or now.value is not None:
                seconds = Spread(*(None if us is None else us / 1e6 for us in now))
                was_s = None if was is None else was / 1e6
                yield LatencyChange(what, percentile, Bounded.of(was_s, seconds))


def _candidates(totals: _Totals) -> tuple[CandidateChange, ...]:
    found = [
        CandidateChange(name, requests.bounded(), totals.cost_of.get(name, Sum()).usd())
        for name, requests in totals.requests_of.items()
    ]
    return tuple(sorted(found, key=lambda one: (-(one.requests.before or 0), one.name)))


def _found(groups: Iterable[Alike]) -> tuple[Found, ...]:
    counts: dict[tuple[str, str], int] = {}
    examples: dict[tuple[str, str], list[str]] = {}
    for group in groups:
        for key in _violations(group):
            counts[key] = counts.get(key, 0) + group.requests
            examples.setdefault(key, []).extend(group.examples)
    found = [
        Found(kind, rule, count, tuple(examples[kind, rule][:EXAMPLES_MAX]))
        for (kind, rule), count in counts.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.requests, one.kind, one.rule)))


def _violations(group: Alike) -> Iterator[tuple[str, str]]:
    same = group.same
    verdict = same.verdict
    if verdict.forbids is not None:
        yield "forbidden", verdict.forbids
    if verdict.kind is Kind.DENIED and not same.denied:
        yield "denied", verdict.rule or ""
    if verdict.kind is Kind.MOVED and same.denied:
        yield "allowed", verdict.targets[0].candidate.name
