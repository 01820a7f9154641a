"""A state of the world as options: `--at down=global-us --at p90=vllm-fra:1200ms --now 2026-12-01T09:00Z`.

Reads the forms; whether the names are the policy's is said by the router.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli.world_load import LOAD_KEYS, is_load, tell_load

if TYPE_CHECKING:
    from hybridllm import World

_PERCENTILES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
_TOTAL = "total-"
_FORMS = {
    "down": "down=BACKEND",
    "inflight": "inflight=BACKEND:12",
    "chance": "chance=0.5",
    **{name: f"{name}=BACKEND:1200ms" for name in _PERCENTILES},
    **{_TOTAL + name: f"{_TOTAL}{name}=BACKEND:2s" for name in _PERCENTILES},
}
_MS = {"ms": 1.0, "s": 1e3}
_NOW = "2026-12-01T09:00Z, or 2026-12-01T09:00+01:00"


def world_of(
    at: Iterable[str],
    *,
    now: str | None,
    carried: list[str],
    volumes: list[dict[str, Any]],
    break_even: str | None,
) -> World | None:
    """Return the state of the world that options describe; None if none of them is given.

    Raises:
        typer.BadParameter: If an option has another form.
    """
    told: dict[str, Any] = {}
    for text in at:
        _tell(told, text)
    if now is not None:
        told["now"] = _time(now)
    if carried:
        told["carried"] = carried
    if volumes:
        told["volume"] = volumes
    if break_even is not None:
        told["break_even"] = break_even
    if not told:
        return None

    from hybridllm import World

    return World(**told)


def _tell(told: dict[str, Any], text: str) -> None:
    key, sign, value = text.partition("=")
    if key not in _FORMS and is_load(key):
        tell_load(told, text)
        return
    if key not in _FORMS:
        loads = ", ".join(f"BACKEND.{name}" for name in LOAD_KEYS)
        raise typer.BadParameter(
            f"--at: {key!r} is not one of {', '.join(_FORMS)}, {loads}{_did_you_mean(key)}; as in "
            "--at down=global-us --at p90=vllm-fra:1200ms --at vllm-fra.kv=0.93"
        )
    if not sign or not value:
        raise _wrong(text, key)
    if key == "down":
        told.setdefault("down", []).extend(value.split(","))
    elif key == "chance":
        told["chance"] = _number(value, text, key)
    elif key == "inflight":
        for name, count in _by_name(value, text, key):
            if not count.isascii() or not count.isdigit():
                raise _wrong(text, key)
            told.setdefault("in_flight", {})[name] = int(count[:12])
    else:
        what = "total_ms" if key.startswith(_TOTAL) else "ttft_ms"
        percentile = _PERCENTILES[key.removeprefix(_TOTAL)]
        for name, duration in _by_name(value, text, key):
            measured = told.setdefault(what, {}).setdefault(name, {})
            measured[percentile] = _milliseconds(duration, text, key)


def _by_name(value: str, text: str, key: str) -> Iterator[tuple[str, str]]:
    for one in value.split(","):
        name, sign, figure = one.rpartition(
            ":"
        )  # names of models may have a colon, figures have none
        if not sign or not name:
            raise _wrong(text, key)
        yield name, figure


def _milliseconds(duration: str, text: str, key: str) -> float:
    number = duration.rstrip("ms")
    unit = duration[len(number) :]
    if unit not in _MS:
        raise _wrong(text, key)
    return _number(number, text, key) * _MS[unit]


def _number(value: str, text: str, key: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise _wrong(text, key) from None


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"--now: {text!r} is not a time; write {_NOW}") from None
    if time.tzinfo is None:
        raise typer.BadParameter(
            f"--now: {text!r} has no zone, so it is not one time; write {_NOW}"
        )
    return time


def _wrong(text: str, key: str) -> typer.BadParameter:
    return typer.BadParameter(f"--at: {text!r} is not of the form {_FORMS[key]}")


def _did_you_mean(key: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, (*_FORMS, *LOAD_KEYS), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
