"""What users would have seen, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm.cli.quantiles import quantile
from hybridllm.testing import Ending

if TYPE_CHECKING:
    from hybridllm.cli.chaos.mix import Kind, Mix
    from hybridllm.cli.chaos.simulate import Course, Seen
    from hybridllm.testing import Journey

_BACK_S, _BACK_SHARE = 2.0, 0.5


@dataclass(frozen=True, slots=True)
class Nowhere:
    """Requests of some kinds that failed because all who may answer them were struck.

    Attributes:
        tag: The residency tag that says so; None: no tag does, only those backends serve its models.
        cut: How many of them are streams that broke after their first token.
    """

    tag: str | None
    backends: tuple[str, ...]
    kinds: tuple[str, ...]
    failed: int
    cut: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the requests that were under way while the trouble lasted.

    Attributes:
        cut: Streams that broke after their first token.
        nowhere: Failed, and nobody else may answer them.
        p50_s: Of answers, whole; so is `p99_s`.
        first_token_p99_s: Of streams.
        attempts: Per request.
        cost_usd: Of 1,000 requests.
        wasted_usd: The part of it that bought no answer.
        served: Who answered how many.
        other_model: Answers of another model than the first choice while all is well.
        back_s: After the trouble, until the struck ones have half of their share again; None: not seen.
    """

    trouble: str | None
    struck: str | None
    backends: tuple[str, ...]
    asked: int
    answered: int
    cut: int
    failed: int
    nowhere: tuple[Nowhere, ...]
    p50_s: float | None
    p99_s: float | None
    first_token_p99_s: float | None
    attempts: float
    cost_usd: Decimal
    wasted_usd: Decimal
    served: dict[str, int]
    other_model: int
    back_s: float | None
    errors: dict[str, int]

    @property
    def success(self) -> float:
        """Answered, of those that came."""
        return self.answered / self.asked if self.asked else 1.0

    @property
    def right_to_fail(self) -> int:
        """How many failed because nobody else may answer."""
        return sum(each.failed for each in self.nowhere)

    @property
    def success_possible(self) -> float:
        """Answered, of those that came and could be."""
        possible = self.asked - self.right_to_fail
        return self.answered / possible if possible else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "fault": self.trouble,
            "struck": self.struck,
            "backends": list(self.backends),
            "requests": self.asked,
            "answered": self.answered,
            "success": self.success,
            "success_of_possible": self.success_possible,
            "failed": self.failed,
            "streams_cut": self.cut,
            "nobody_else_may_answer": [
                {
                    "residency": each.tag,
                    "backends": list(each.backends),
                    "kinds": list(each.kinds),
                    "failed": each.failed,
                    "streams_cut": each.cut,
                }
                for each in self.nowhere
            ],
            "p50_s": self.p50_s,
            "p99_s": self.p99_s,
            "first_token_p99_s": self.first_token_p99_s,
            "attempts_per_request": self.attempts,
            "cost_usd_per_1000": str(self.cost_usd),
            "wasted_usd_per_1000": str(self.wasted_usd),
            "answered_by": self.served,
            "answered_by_another_model": self.other_model,
            "share_back_after_s": self.back_s,
            "errors": self.errors,
        }


def figures_of(seen: Seen, mix: Mix, course: Course) -> Figures:
    """Work out what users saw while the trouble lasted."""
    there = [j for j in seen.journeys if j.ask.at_s < course.until_s and j.ended_s >= course.from_s]
    good = [j for j in there if j.ending is Ending.ANSWERED]
    bad = [j for j in there if j.ending is not Ending.ANSWERED]
    kinds = {kind.name: kind for kind in mix.kinds}
    struck = seen.struck.backends if seen.struck is not None else ()
    tokens_s = [j.first_token_s for j in good if j.first_token_s is not None]
    per_1000 = Decimal(1_000) / max(len(there), 1)
    return Figures(
        trouble=seen.trouble.name if seen.trouble is not None else None,
        struck=seen.struck.name if seen.struck is not None else None,
        backends=struck,
        asked=len(there),
        answered=len(good),
        cut=sum(j.ending is Ending.CUT for j in bad),
        failed=sum(j.ending is not Ending.CUT for j in bad),
        nowhere=tuple(_nowhere(bad, kinds, frozenset(struck))),
        p50_s=quantile([j.duration_s for j in good], 0.50),
        p99_s=quantile([j.duration_s for j in good], 0.99),
        first_token_p99_s=quantile(tokens_s, 0.99),
        attempts=sum(len(j.tries) for j in there) / max(len(there), 1),
        cost_usd=sum((j.cost_usd or Decimal(0) for j in there), Decimal(0)) * per_1000,
        wasted_usd=sum((j.cost_wasted_usd for j in there), Decimal(0)) * per_1000,
        served=dict(Counter(j.served_by for j in good if j.served_by is not None).most_common()),
        other_model=sum(
            j.tries[-1].model != kinds[j.ask.kind].first_model for j in good if j.tries
        ),
        back_s=_back_s(seen, course, struck),
        errors=dict(Counter(j.error for j in bad if j.error is not None).most_common()),
    )


def _nowhere(
    bad: Sequence[Journey], kinds: dict[str, Kind], struck: frozenset[str]
) -> Iterable[Nowhere]:
    there = [j for j in bad if kinds[j.ask.kind].backends <= struck]
    failed = Counter(j.ask.kind for j in there)
    cut = Counter(j.ask.kind for j in there if j.ending is Ending.CUT)
    groups: dict[tuple[str | None, tuple[str, ...]], list[str]] = {}
    for name in failed:
        kind = kinds[name]
        groups.setdefault((kind.tag, tuple(sorted(kind.backends))), []).append(name)
    for (tag, backends), names in groups.items():
        sums = (sum(counts[name] for name in names) for counts in (failed, cut))
        yield Nowhere(tag, backends, tuple(sorted(names)), *sums)


def _back_s(seen: Seen, course: Course, struck: Sequence[str]) -> float | None:
    def share(from_s: float, until_s: float) -> float | None:
        counts = {
            name: sum(from_s <= at_s < until_s for at_s in arrived)
            for name, arrived in seen.arrivals_s.items()
        }
        everywhere = sum(counts.values())
        return sum(counts[name] for name in struck) / everywhere if everywhere else None

    usual = share(0.0, course.from_s)
    if not struck or not usual:
        return None
    at_s = course.until_s + _BACK_S
    while at_s <= course.seconds:
        now = share(at_s - _BACK_S, at_s)
        if now is not None and now >= _BACK_SHARE * usual:
            return at_s - course.until_s
        at_s += _BACK_S / 4
    return None
