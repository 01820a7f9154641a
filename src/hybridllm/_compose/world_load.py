"""Loads and volumes as callers write them down, checked against a policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hybridllm._core.decide.given import OWN, GivenLoad, GivenVolume
from hybridllm._core.policy.hybrid import Measure, Window
from hybridllm._core.policy.problems import nearest
from hybridllm.errors import InvalidRequest

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy

_SUSTAINED, _OF = "sustained_days", "of"
_RATES = {
    f"{measure.value}_per_{window.value}": (measure, window)
    for measure in Measure
    for window in Window
}
_AMOUNT_MAX = 10**15


def given_loads(given: Mapping[str, Mapping[str, object]], policy: Policy) -> dict[str, GivenLoad]:
    """Return what is said of the load of backends.

    Raises:
        InvalidRequest: If it names what the policy does not have, or a value is out of range.
    """
    found = {}
    for name, said in given.items():
        known((*policy.backends, OWN), name, "backend")
        fields: dict[str, Any] = {}
        for key, value in said.items():
            known(_LOADS, key, f"load of {name!r}: key")
            field, read = _LOADS[key]
            fields[field] = read(value, f"load of {name!r}: {key}")
        found[name] = GivenLoad(**fields)
    return found


def given_volumes(
    given: Mapping[str, object] | Iterable[Mapping[str, object]], policy: Policy
) -> tuple[GivenVolume, ...]:
    """Return what is said to have come in.

    Raises:
        InvalidRequest: If it names what the policy does not have, or a value is out of range.
    """
    each = (given,) if isinstance(given, Mapping) else given
    return tuple(_volume(said, policy) for said in each if said)


def given_break_even(side: str | None) -> bool | None:
    """Return whether the APIs would cost more.

    Raises:
        InvalidRequest: If it is neither `above` nor `below`.
    """
    if side is None:
        return None
    known(("above", "below"), side, "break_even:")
    return side == "above"


def known(names: Iterable[str], name: object, what: str) -> None:
    """Raise `InvalidRequest` unless a name is one of those that there are."""
    allowed = list(names)
    if name not in allowed:
        raise InvalidRequest(
            f"world: {what} {name!r} is not one of {', '.join(allowed)}{nearest(str(name), allowed)}"
        )


def _volume(said: Mapping[str, object], policy: Policy) -> GivenVolume:
    amounts, sustained_days, scope = {}, 0, None
    for key, value in said.items():
        known((*_RATES, _SUSTAINED, _OF), key, "volume: key")
        if key == _OF:
            scope = _scope(value, policy)
        elif key == _SUSTAINED:
            sustained_days = int(_number(value, f"volume: {key}"))
        else:
            amounts[_RATES[key]] = Decimal(str(_number(value, f"volume: {key}", _AMOUNT_MAX)))
    return GivenVolume(amounts, sustained_days, scope)


def _scope(value: object, policy: Policy) -> str:
    scope = str(value)
    kind, colon, name = scope.partition(":")
    if not colon:
        known(("all", "task", "tenant"), scope, "volume: of")
        return scope
    kinds: dict[str, Iterable[str]] = {
        "backend": policy.backends,
        "model": policy.models,
        "route": [route.name for route in policy.routes],
        "task": (name,),
        "tenant": (name,),
    }
    known(kinds, kind, "volume: of")
    known(kinds[kind], name, f"volume: of {kind}")
    return scope


def _number(value: object, what: str, most: float = math.inf) -> float:
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= most or value == math.inf:  # type: ignore[operator]
        raise InvalidRequest(f"world: {what}: {value!r} is no number from 0 on")
    return value  # type: ignore[return-value]


def _flag(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"world: {what}: {value!r} is neither True nor False")
    return value


def _percent(value: object, what: str) -> float:
    number = float(_number(value, what))
    if number > 100:
        raise InvalidRequest(f"world: {what}: {value!r} is above 100")
    return number / 100


_LOADS: dict[str, tuple[str, Callable[[object, str], object]]] = {
    "saturated": ("saturated", _flag),
    "waiting": ("waiting", _number),
    "kv_cache_pct": ("kv_used", _percent),
    "predicted_wait_ms": ("wait_s", lambda value, what: float(_number(value, what)) / 1_000),
    "rate_limited": ("rate_limited", _flag),
    "out": ("out", _flag),
    "budget": ("budget", _flag),
    "cold_s": ("cold_s", _number),
}
