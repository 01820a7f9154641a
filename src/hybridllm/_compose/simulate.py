"""Traffic that may come, under a policy: for the command line, and for whoever asks in Python."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from hybridllm._core.policy.compiled import Policy
from hybridllm._core.simulate.report import SimulationReport
from hybridllm.errors import InvalidRequest, PolicyError

SAMPLES, SAMPLES_MAX, MONTHS_MAX = 20_000, 1_000_000, 120
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def simulate(
    policy: str | Path | Policy,
    traffic: str | Path,
    *,
    months: int = 12,
    requests_per_day: float | None = None,
    growth_per_month: float | None = None,
    samples: int = SAMPLES,
    seed: int = 1,
    begins: datetime = MONDAY,
    environ: Mapping[str, str] | None = None,
    environment: str | None = None,
) -> SimulationReport:
    """Return what some traffic would cost and ask of each backend, month by month; nothing is sent.

    Decisions are sampled, each stands for many requests: a thousand a day take as long as 10^12.

    Args:
        policy: A policy file's path, or a policy.
        traffic: A traffic file's path.
        months: How many, up to 120.
        requests_per_day: Goes before the file's.
        growth_per_month: Goes before the file's; 0.1 is a tenth more each month.
        samples: So many decisions.
        seed: Of everything drawn.
        begins: Prices are those of the week from then on; a Monday.
        environ: Variables for `${NAME}`. Default: this process's environment.
        environment: Goes before the `environment` that the policy says.

    Raises:
        PolicyError: If the policy or the traffic file does not load.
        InvalidRequest: If a number is out of its range.
    """
    from hybridllm._adapters.policy_files import content, load_policy
    from hybridllm._adapters.yaml_document import read_document
    from hybridllm._core.policy.document import Findings
    from hybridllm._core.policy.wording import validated_as
    from hybridllm._core.simulate.run import simulated
    from hybridllm._core.simulate.samples import strata_of
    from hybridllm._core.simulate.schema import TrafficSpec

    for name, value, most in (("months", months, MONTHS_MAX), ("samples", samples, SAMPLES_MAX)):
        if not 1 <= value <= most:
            raise InvalidRequest(f"{name}: {value} is out of range: from 1 to {most:,}")
    if not isinstance(policy, Policy):
        policy, _ = load_policy(policy, environ=environ, environment=environment)
    findings = Findings(str(traffic))
    root = read_document(content(traffic, str(traffic)), findings)
    spec = None if root is None else validated_as(TrafficSpec, root, findings)
    if spec is None or findings.failed:
        raise PolicyError(str(traffic), findings.in_order())
    a_day = spec.requests_per_day if requests_per_day is None else requests_per_day
    growth = spec.growth_per_month if growth_per_month is None else growth_per_month
    if not 0 < a_day <= 1e15 or not -0.9 <= growth <= 10:
        message = f"{a_day:g} requests a day that grow by {growth:g} a month are out of range"
        raise InvalidRequest(f"{message}: up to 1e15, and from -0.9 to 10")
    chance = Random(seed).random  # noqa: S311 - a simulation, no secret
    return simulated(
        policy,
        strata_of(spec, policy, count=samples, chance=chance),
        requests_per_day=a_day,
        growth_per_month=growth,
        months=months,
        begins=begins,
    )
