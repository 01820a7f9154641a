"""What a policy says about load, from the schema's models to what the router runs by."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import urlsplit

from hybridllm._core.policy.compiled import BackendKind
from hybridllm._core.policy.objectives import Hedge
from hybridllm._core.policy.schema_limits import BudgetSpec, ConcurrencySpec, HedgeSpec
from hybridllm._core.resilience.budget import DEFAULT, BudgetConfig
from hybridllm._core.resilience.limit import Concurrency


def compiled_concurrency(spec: ConcurrencySpec | None) -> Concurrency | None:
    """Return the limit; None: there is none."""
    if spec is None:
        return None
    start = spec.start if spec.start is not None else Concurrency().start
    return Concurrency(min(max(start, spec.min), spec.max), spec.min, spec.max)


def compiled_hedge(spec: HedgeSpec | None) -> Hedge | None:
    """Return when to hedge; None: never."""
    if spec is None:
        return None
    if isinstance(spec.after, Decimal):
        return Hedge(None, float(spec.after), spec.prompt_tokens_max)
    return Hedge(spec.after, 0.0, spec.prompt_tokens_max)


def compiled_budget(spec: BudgetSpec) -> BudgetConfig:
    """Return the retry budget."""
    return BudgetConfig(
        share=float(spec.ratio),
        reserve_per_s=float(spec.reserve_per_s),
        reserve_max=float(spec.reserve_max),
        hedge_share=DEFAULT.hedge_share,
    )


def health_url(path: str | None, base_url: str, kind: BackendKind) -> str | None:
    """Return the address that is looked at while a backend's breaker is open; None: nothing is."""
    if path == "off":
        return None
    if path is not None:
        parts = urlsplit(base_url)
        return f"{parts.scheme}://{parts.netloc}{path}"
    if kind is BackendKind.VLLM:
        return f"{base_url.removesuffix('/v1')}/health"
    return f"{base_url}/models"
