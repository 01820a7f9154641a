"""Own machines, volumes and overflow, from the schema's models to what the router runs by."""

from __future__ import annotations

from decimal import Decimal

from hybridllm._core.policy.hybrid import (
    DEFAULT_SATURATION,
    HOURS_A_MONTH,
    BreakEven,
    Capacity,
    Cause,
    ColdStart,
    Measure,
    Overflow,
    Saturation,
    Trigger,
    Volume,
    Window,
    default_dwell_s,
    default_exit,
)
from hybridllm._core.policy.schema_hybrid import (
    RATES,
    BreakEvenSpec,
    CapacitySpec,
    ColdStartSpec,
    SaturationSpec,
    VolumeBoundSpec,
    VolumeSpec,
)
from hybridllm._core.policy.schema_overflow import CausesSpec, OverflowSpec, SpendSpec


def compiled_saturation(spec: SaturationSpec | None) -> Saturation:
    """Return from when on a backend is saturated."""
    if spec is None:
        return DEFAULT_SATURATION
    return Saturation(
        spec.max_inflight, spec.queue_depth, float(spec.kv_cache_pct / 100), float(spec.stale_after)
    )


def compiled_capacity(spec: CapacitySpec | None) -> Capacity | None:
    """Return what own machines cost and can do; None: nothing is said."""
    if spec is None:
        return None
    cost = spec.usd_per_month
    if cost is None:
        cost = (spec.usd_per_gpu_hour or Decimal(0)) * spec.gpus * HOURS_A_MONTH
    speed = spec.tokens_per_second
    if speed is None and spec.tokens_per_day is not None:
        speed = spec.tokens_per_day / 86_400
    return Capacity(
        cost, spec.hidden_usd_per_month, float(speed) if speed is not None else None, spec.elastic
    )


def compiled_cold_start(spec: ColdStartSpec | None) -> ColdStart | None:
    """Return how a backend wakes; None: it never sleeps."""
    if spec is None:
        return None
    return ColdStart(float(spec.takes), spec.wake, float(spec.wake_at), spec.when_cold == "wait")


def compiled_overflows(specs: tuple[OverflowSpec, ...] | None) -> tuple[Overflow, ...]:
    """Return the overflows of a route."""
    return tuple(
        Overflow(
            spec.from_,
            spec.to,
            _causes(spec.when),
            float(spec.queue_ms / 1_000) if spec.queue_ms is not None else None,
        )
        for spec in specs or ()
    )


def _causes(spec: CausesSpec) -> tuple[Cause, ...]:
    found = []
    for trigger in Trigger:
        value = getattr(spec, trigger.value)
        if isinstance(value, SpendSpec):
            spent = (
                Cause(trigger) if value.usd is None else Cause(trigger, float(value.usd), value.per)
            )
            found.append(spent)
        elif value is True:
            found.append(Cause(trigger))
        elif value is not None:
            found.append(Cause(trigger, float(value.gt)))
    return tuple(found)


def compiled_volume(spec: VolumeSpec) -> Volume:
    """Return a condition on volume."""
    rate = next(name for name in RATES if getattr(spec, name) is not None)
    bound: VolumeBoundSpec = getattr(spec, rate)
    measure, _, window = rate.partition("_per_")
    below = bound.lt is not None
    enter = bound.lt if bound.lt is not None else bound.gte or Decimal(0)
    exit_ = spec.exit if spec.exit is not None else default_exit(enter, below=below)
    dwell_s = spec.min_dwell
    if dwell_s is None:
        dwell_s = default_dwell_s(spec.sustained or 0)
    return Volume(
        Measure(measure),
        Window(window),
        enter,
        exit_,
        spec.of,
        below,
        spec.sustained or 0,
        dwell_s,
    )


def compiled_break_even(spec: BreakEvenSpec) -> BreakEven:
    """Return a condition on break-even."""
    return BreakEven(spec.is_ == "above", spec.of or (), float(spec.margin), spec.min_dwell)
