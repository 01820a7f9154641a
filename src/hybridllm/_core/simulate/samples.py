"""Requests drawn from a traffic: each stands for many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import cos, exp, log, pi, sqrt
from typing import NamedTuple

from hybridllm._core.policy.compiled import Policy
from hybridllm._core.request.facts import Facts
from hybridllm._core.simulate.schema import HOURS, KindSpec, LengthSpec, TrafficSpec

_Z95 = 1.6448536269514722
OF_A_KIND_MIN = 200


class Stratum(NamedTuple):
    """The samples of one kind; `share` is of all requests."""

    share: float
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One request.

    Attributes:
        day: Of the week, 0 to 6; `hour`: of the UTC day.
        chance: That a split draws.
    """

    facts: Facts
    day: int
    hour: int
    tokens_in: int
    tokens_out: int
    chance: float

    @property
    def tokens(self) -> int:
        """Of prompt and answer."""
        return self.tokens_in + self.tokens_out


def strata_of(
    traffic: TrafficSpec, policy: Policy, *, count: int, chance: Callable[[], float]
) -> tuple[Stratum, ...]:
    """Draw about `count` requests, of each kind its share and at least some."""
    whole = float(sum(kind.share for kind in traffic.mix))
    return tuple(
        Stratum(
            share := float(kind.share) / whole,
            tuple(
                _samples(kind, traffic, policy, max(OF_A_KIND_MIN, round(count * share)), chance)
            ),
        )
        for kind in traffic.mix
    )


def _samples(
    kind: KindSpec, traffic: TrafficSpec, policy: Policy, count: int, chance: Callable[[], float]
) -> Iterator[Sample]:
    """Draw some of a kind: the hours in their shares, everything else independently."""
    hours = [float(weight) for weight in traffic.hours] or [1.0] * HOURS
    whole, reached, hour = sum(hours), hours[0], 0
    for number in range(count):
        while hour < HOURS - 1 and (number + 0.5) / count * whole > reached:
            hour += 1
            reached += hours[hour]
        tokens_in, tokens_out = (
            _length(length, chance) for length in (kind.input_tokens, kind.output_tokens)
        )
        facts = Facts(
            task=kind.task,
            residency=kind.residency,
            tenant=kind.tenant,
            feature=kind.feature,
            environment=policy.environment,
            stream=kind.stream,
            input_tokens_estimate=tokens_in,
            input_tokens_total=tokens_in,
        )
        yield Sample(facts, int(chance() * 7), hour, tokens_in, tokens_out, chance())


def _length(length: LengthSpec, chance: Callable[[], float]) -> int:
    """Draw a length; its logarithm is normal (Box and Muller, 1958)."""
    if length.p95 is None:
        return length.median
    sigma = log(length.p95 / length.median) / _Z95
    normal = sqrt(-2 * log(1 - chance())) * cos(2 * pi * chance())
    return max(1, round(length.median * exp(sigma * normal)))
