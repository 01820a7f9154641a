"""Loads and volumes as options: `--at vllm-fra.kv=0.93 --at vllm-fra.waiting=9 --volume 600M/d`.

Reads the forms; whether the names are the policy's is said by the router.
"""

from __future__ import annotations

import re
from typing import Any

import typer

EVERY = "*"
_FIGURES = {
    "kv": "vllm-fra.kv=0.93",
    "waiting": "vllm-fra.waiting=9",
    "wait": "vllm-fra.wait=2000ms",
    "cold": "vllm-fra.cold=15s",
}
_FLAGS = ("saturated", "rate_limited", "out", "budget")
LOAD_KEYS = (*_FIGURES, *_FLAGS)

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)\Z", re.ASCII)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?\Z", re.ASCII)
_VOLUME = re.compile(
    r"(?:(?P<of>[^=]+)=)?(?P<usd>\$?)(?P<amount>[0-9]+(?:\.[0-9]+)?)(?P<unit>[KMB]?)"
    r"(?: ?(?P<what>tokens|requests|usd))?/(?P<window>[a-z]+)\Z",
    re.ASCII,
)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
_WINDOWS = {
    "min": "minute", "minute": "minute", "h": "hour", "hour": "hour", "d": "day", "day": "day",
    "month": "month",
}  # fmt: skip
_VOLUME_FORMS = "600M/d, '6000 requests/h', '$50/month' or tenant:acme=5M/d (min, h, d, month)"


def is_load(key: str) -> bool:
    """Return whether `--at KEY=VALUE` says something of a load: `vllm-fra.kv`, or `kv` of every own one."""
    return key.rpartition(".")[2] in LOAD_KEYS


def tell_load(told: dict[str, Any], text: str) -> None:
    """Add what `--at` says of a load.

    Raises:
        typer.BadParameter: If it has another form.
    """
    left, sign, value = text.partition("=")
    name, _, key = left.rpartition(".")
    load = told.setdefault("load", {}).setdefault(name or EVERY, {})
    if key in _FLAGS:
        if sign:
            raise typer.BadParameter(f"--at: {text!r} takes no value; write {left}")
        load[key] = True
    elif key == "kv":
        load["kv_cache_pct"] = _percent(value, text)
    elif key == "waiting":
        load["waiting"] = _number(value, text, key)
    elif key == "wait":
        load["predicted_wait_ms"] = _seconds(value, text, key) * 1_000
    else:
        load["cold_s"] = _seconds(value, text, key)


def volumes_of(texts: list[str], sustained: str | None) -> list[dict[str, Any]]:
    """Return the volumes that options describe.

    Raises:
        typer.BadParameter: If an option has another form.
    """
    found = [_volume(text) for text in texts]
    if sustained is None:
        return found
    days = sustained.removesuffix("d")
    if not days.isascii() or not days.isdigit() or days == sustained:
        raise typer.BadParameter(f"--sustained: {sustained!r} is not a number of days; write 120d")
    daily = [one for one in found if any(key.endswith("_per_day") for key in one)]
    if not daily:
        raise typer.BadParameter("--sustained goes with a volume per day: --volume 600M/d")
    for one in daily:
        one["sustained_days"] = int(days[:6])
    return found


def _volume(text: str) -> dict[str, Any]:
    match = _VOLUME.match(text)
    window = _WINDOWS.get(match["window"]) if match else None
    if match is None or window is None:
        raise typer.BadParameter(f"--volume: {text!r} is no volume; write {_VOLUME_FORMS}")
    what = "usd" if match["usd"] else match["what"] or "tokens"
    amount = float(match["amount"]) * _UNITS[match["unit"]]
    told: dict[str, Any] = {f"{what}_per_{window}": amount}
    return told | ({"of": match["of"]} if match["of"] else {})


def _percent(value: str, text: str) -> float:
    if value.endswith("%"):
        return _number(value[:-1], text, "kv")
    share = _number(value, text, "kv")
    if share > 1:
        raise typer.BadParameter(f"--at: {text!r} is no share; write kv=0.93 or kv=93%")
    return round(share * 100, 6)


def _number(value: str, text: str, key: str) -> float:
    if not _NUMBER.match(value):
        raise _wrong(text, key)
    return float(value)


def _seconds(value: str, text: str, key: str) -> float:
    match = _DURATION.match(value)
    if match is None:
        raise _wrong(text, key)
    return float(match[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[match[2]]


def _wrong(text: str, key: str) -> typer.BadParameter:
    return typer.BadParameter(f"--at: {text!r} is not of the form {_FIGURES[key]}")
