"""`reference/policy.md`: every key of a policy file, from the schema that reads it.

What a value may be is asked of the schema too: it is given an empty text, and its complaint says what
would have been right. So the page cannot promise what the loader refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from hybridllm._core.policy import (
    schema,
    schema_attribution,
    schema_budgets,
    schema_cache,
    schema_cascade,
    schema_given,
    schema_hybrid,
    schema_limits,
    schema_overflow,
    schema_price,
    schema_routes,
    schema_shadow,
    schema_telemetry,
    schema_tests,
    schema_when,
)
from hybridllm._core.policy.spec import Spec

# In the order of a file; the second text is where the mapping stands.
SECTIONS: tuple[tuple[type[Spec], str, str], ...] = (
    (schema.PolicySpec, "The file", ""),
    (schema.BackendSpec, "Backends", "backends: {<name>: {...}}"),
    (schema.BackendTimeoutsSpec, "Timeouts of a backend", "backends: {<name>: {timeouts: {...}}}"),
    (
        schema_limits.ConcurrencySpec,
        "Concurrency",
        "backends: {<name>: {concurrency: {...}}}",
    ),
    (
        schema_hybrid.SaturationSpec,
        "Saturation",
        "backends: {<name>: {saturation: {...}}}",
    ),
    (schema_hybrid.CapacitySpec, "Capacity", "backends: {<name>: {capacity: {...}}}"),
    (schema_hybrid.ColdStartSpec, "Cold start", "backends: {<name>: {cold_start: {...}}}"),
    (schema.ModelSpec, "Models", "models: {<name>: {...}}"),
    (schema.ServedSpec, "Who serves a model", "models: {<name>: {on: {<backend>: {...}}}}"),
    (schema_price.PriceSpec, "Prices", "price: {...}"),
    (schema_price.ContextTierSpec, "Prices of long prompts", "price: {context_tiers: [{...}]}"),
    (
        schema_price.ServiceTierSpec,
        "Prices of service tiers",
        "price: {service_tiers: {<tier>: {...}}}",
    ),
    (schema_price.PriceHoursSpec, "Prices by the hour", "price: {hours: [{...}]}"),
    (schema_price.SheetEntrySpec, "Price sheet", "prices: [{...}, {...}]"),
    (schema.ResidencySpec, "Residency tags", "residency: {<tag>: {...}}"),
    (schema.TaskSpec, "Tasks", "tasks: {<name>: {...}}"),
    (schema.TaskTimeoutsSpec, "Timeouts of a task", "tasks: {<name>: {timeouts: {...}}}"),
    (schema_limits.HedgeSpec, "Hedging", "tasks: {<name>: {hedge: {...}}}"),
    (schema_routes.BucketSpec, "Buckets", "buckets: {<bucket>: {...}}"),
    (schema_routes.RouteSpec, "Routes", "routes: [{...}, {...}]"),
    (schema_when.WhenSpec, "Conditions", "when: {...}"),
    (schema_when.BoundsSpec, "Bounds", "input_tokens: {...}"),
    (schema_when.TimeSpec, "Hours", "time: {...}"),
    (schema_hybrid.VolumeSpec, "Volume", "volume: {...}"),
    (schema_hybrid.VolumeBoundSpec, "Bound of a volume", "volume: {tokens_per_day: {...}}"),
    (schema_hybrid.BreakEvenSpec, "Break-even", "break_even: {...}"),
    (schema_routes.UseSpec, "Entries", "routes: [{use: [{...}, {...}]}]"),
    (schema_overflow.OverflowSpec, "Overflow", "routes: [{overflow: {...}}]"),
    (schema_overflow.CausesSpec, "Causes", "overflow: {when: {...}}"),
    (schema_overflow.AboveSpec, "Bound of a cause", "when: {predicted_wait_ms: {...}}"),
    (schema_overflow.SpendSpec, "Spend", "when: {budget: {...}}"),
    (schema_shadow.ShadowSpec, "Shadow", "routes: [{shadow: {...}}]"),
    (schema_shadow.ParitySpec, "Parity", "shadow: {parity: {...}}"),
    (schema_cache.CacheSpec, "Cache", "routes: [{cache: {...}}]"),
    (schema_cascade.CascadeSpec, "Cascade", "routes: [{cascade: {...}}]"),
    (schema_cascade.EscalateIfSpec, "Checks of a cascade", "cascade: {escalate_if: {...}}"),
    (schema_routes.SloSpec, "Objectives", "slo: {...}"),
    (schema_routes.PercentilesSpec, "Percentiles", "slo: {ttft_ms: {...}}"),
    (schema_routes.ConstraintSpec, "Constraints", "constraints: [{...}, {...}]"),
    (schema_routes.AllowSpec, "Allowed", "constraints: [{allow: {...}}]"),
    (schema_routes.DenySpec, "Denied", "constraints: [{deny: {...}}]"),
    (schema_budgets.SpendingSpec, "Budgets", "budgets: [{...}, {...}]"),
    (schema_budgets.BudgetScopeSpec, "Whose budget", "budgets: [{scope: {...}}]"),
    (
        schema_budgets.UseInsteadSpec,
        "Fewer models",
        "budgets: [{at: {90%: {...}}}]",
    ),
    (schema_tests.CaseSpec, "Tests", "tests: [{...}, {...}]"),
    (schema_tests.GivenSpec, "Given", "tests: [{given: {...}}]"),
    (schema_given.GivenLoadSpec, "Given loads", "given: {load: {<backend>: {...}}}"),
    (schema_given.GivenVolumeSpec, "Given volumes", "given: {volume: {...}}"),
    (schema_tests.ExpectSpec, "Expected", "tests: [{expect: {...}}]"),
    (schema_limits.RetriesSpec, "Retries", "retries: {...}"),
    (schema_limits.BudgetSpec, "Retry budget", "retries: {budget: {...}}"),
    (schema_attribution.AttributionSpec, "Attribution", "attribution: {...}"),
    (schema_telemetry.TelemetrySpec, "Telemetry", "telemetry: {...}"),
    (schema_telemetry.MetricsSpec, "Metrics", "telemetry: {metrics: {...}}"),
)
SHORT_FORMS = {
    schema_limits.ConcurrencySpec: "`concurrency: auto` stands for all three defaults, and a number "
    "alone is a limit that never changes: `concurrency: 64`.",
    schema.ServedSpec: "A text alone is the name: `on: {cloud: qwen3-8b}`.",
    schema_when.WhenSpec: "`metadata` takes, for each key, a value, a pattern, a list of them, or "
    "[bounds](#bounds). The keys of later versions are refused with `is not supported yet`.",
    schema_routes.UseSpec: "A text alone is the model: `use: [qwen3-8b, glm-4-9b]`, `use: qwen3-8b`.",
    schema_price.PriceSpec: "`price: free` says that tokens cost nothing; a list holds dated prices. A "
    "price of a model holds on hosted backends only; see [prices](../prices.md).",
    schema_budgets.SpendingSpec: "`scope: all` is everybody's money together. Under `at`, `warn` tells, "
    "`deny` ends, and [fewer models](#fewer-models) narrows.",
    schema_given.GivenLoadSpec: '`"*"` in place of a backend is every one of your own.',
    schema.ResidencySpec: "All that a tag names must hold; `public: {}` restricts nothing.",
}
_HEAD = """\
# Policy file: every key

<!-- Generated by docs/generate.py from the schema. Do not edit. -->

What each key means, which values it takes, and what holds without it. How they work together is told in
[Policy files](../policies.md). A key that is not listed here is refused, with the nearest right name.
"""
_VALUES_TAIL = """\
Wherever a value stands, `${NAME}` takes it from an environment variable and `${NAME:-default}` has a
default; see [variables](../policies.md#variables).
"""
_PREDICATE = re.compile(r"^is (?:not (?:a whole number, and not )?|neither )")
_DETAIL = re.compile(r"(?:: |; | (?=\())(.*)")
_ANCHORS = {kind: title.lower().replace(" ", "-") for kind, title, _ in SECTIONS}
# Asked of a number or a time, so that it tells its bounds.
_TOO_MUCH = (10**12, "999999d")


def page() -> str:
    """Return the page."""
    parts = [_HEAD, _values()]
    for kind, title, place in SECTIONS:
        parts.append(f"## {title}\n")
        parts.append(f"{kind.__doc__}\n")
        if place:
            parts.append(f"Stands at `{place}`.\n")
        if kind in SHORT_FORMS:
            parts.append(f"{SHORT_FORMS[kind]}\n")
        parts.append(_table(kind))
    return "\n".join(parts)


def _table(kind: type[Spec]) -> str:
    rows = ["| key | value | meaning |", "|---|---|---|"]
    for field, info in kind.model_fields.items():
        name = info.alias or field
        if kind is schema_when.WhenSpec and "Reserved" in str(info.description):
            continue
        need = "**required** · " if info.is_required() else ""
        meaning = f"{need}{info.description}{_default(info)}"
        rows.append(f"| `{name}` | {_cell(_form(kind, name, info))} | {_cell(meaning)} |")
    return "\n".join(rows) + "\n"


def _values() -> str:
    """What is meant by the kinds of values that the tables name."""
    said = {
        form
        for kind, _, _ in SECTIONS
        for field, info in kind.model_fields.items()
        if (name := info.alias or field)
        if (form := _complaint(kind, name, "")) and _DETAIL.search(form)
    }
    rows = ["## Kinds of values\n", "| in the tables | that is |", "|---|---|"]
    for form in sorted(said, key=_short):
        detail = _DETAIL.search(form)
        rows.append(f"| {_short(form)} | {_cell(detail[1]) if detail else ''} |")
    return "\n".join([*rows, "", _VALUES_TAIL])


def _short(form: str) -> str:
    return _DETAIL.sub("", form)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(info: FieldInfo) -> str:
    """What holds without the key, where its description does not say so itself."""
    if info.is_required() or info.default_factory or "Default:" in (info.description or ""):
        return ""
    default = info.default
    return "" if default is None else f" Default: `{str(default).lower()}`."


def _form(kind: type[Spec], name: str, info: FieldInfo) -> str:
    """What the value may be, in words."""
    if kind is schema_when.WhenSpec and name == "metadata":
        return "keys, each with a value, a list of them, or [bounds](#bounds)"
    inner = next(_specs(info), None)
    if inner is not None and inner is not schema_price.PriceSpec:
        return f"{_shape(info)}[{_title(inner)}](#{_ANCHORS[inner]})"
    if inner is schema_price.PriceSpec:
        return f"`free`, [a price](#{_ANCHORS[inner]}) or a list of dated ones"
    said = _complaint(kind, name, "")
    if said is None:
        return "a text"
    bounds = next((bound for much in _TOO_MUCH if (bound := _bounds(kind, name, much))), "")
    listed = " (or a list of them)" if _is_list(info) else ""
    return f"{_short(said)}{bounds}{listed}"


def _title(kind: type[Spec]) -> str:
    return next(title for section, title, _ in SECTIONS if section is kind).lower()


def _shape(info: FieldInfo) -> str:
    annotation = str(info.annotation)
    if "dict[" in annotation:
        return "names, each with a mapping: "
    return "a list: " if "tuple[" in annotation else "a mapping: "


def _is_list(info: FieldInfo) -> bool:
    return "tuple[" in str(info.annotation)


def _specs(info: FieldInfo) -> Iterator[type[Spec]]:
    """Yield the mappings that a value may be, or hold."""
    pending: list[Any] = [info.annotation]
    while pending:
        annotation = pending.pop(0)
        if isinstance(annotation, type) and issubclass(annotation, Spec):
            yield annotation
        pending.extend(get_args(annotation))


def _complaint(kind: type[Spec], name: str, value: object) -> str | None:
    """What the schema says is right, when it is given what cannot be."""
    error = _error(kind, name, value)
    if error is None:
        return None
    context = error.get("ctx", {})
    if error["type"] in ("enum", "literal_error"):
        words = re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]]
        return ", ".join(f"`{word}`" for word in words)
    if error["type"] == "value_error":
        said = _PREDICATE.sub("", str(context["error"]))
        return said.replace("true nor false", "`true` or `false`")
    return "a mapping of texts" if error["type"] == "dict_type" else str(error["type"])


def _bounds(kind: type[Spec], name: str, value: object) -> str:
    error = _error(kind, name, value)
    said = str(error.get("ctx", {}).get("error", "")) if error else ""
    return said.replace("is out of range: ", ", ") if "out of range" in said else ""


def _error(kind: type[Spec], name: str, value: object) -> Any:
    try:
        kind.model_validate({name: value})
    except ValidationError as found:
        about = [error for error in found.errors() if error["loc"][:1] == (name,)]
        return next((error for error in about if error["type"] != "missing"), None)
    return None
