"""What `hybridllm top` draws: for each process a head, its backends, overflows, volumes and latest events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from hybridllm.cli.status import figures
from hybridllm.cli.status.screen import nobody
from hybridllm.cli.status.values import Row, moment, rows, text, texts, whole
from hybridllm.cli.top.backends import backends, fixed
from hybridllm.cli.top.looks import Looks, Seen
from hybridllm.cli.top.overflows import overflows, volumes


def picture(
    looks: Looks,
    silent: Sequence[tuple[str, str]],
    folder: str,
    *,
    now_utc: datetime,
    width: int,
) -> RenderableType:
    """Return everything that there is to see."""
    parts: list[RenderableType] = []
    for seen in looks.processes:
        parts += [Text()] if parts else []
        parts += _process(seen, now_utc, width)
    parts += [Text(f"{name}: {why}", style="yellow") for name, why in silent]
    return Group(*(parts or [Text(nobody(folder))]))


def facts(looks: Looks, silent: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the same as a JSON object: what every process told, its rates and its events."""
    return {
        "ok": bool(looks.processes),
        "processes": [
            {
                **seen.told,
                "rates": seen.rates.to_dict(),
                "events": [event.to_dict() for event in seen.events],
            }
            for seen in looks.processes
        ],
        "silent": [{"socket": name, "reason": why} for name, why in silent],
    }


def _process(seen: Seen, now_utc: datetime, width: int) -> Iterator[RenderableType]:
    yield from _head(seen, now_utc)
    yield Text()
    yield backends(seen, width=width)
    for more in (overflows(seen, width=width), volumes(seen, width=width)):
        if more is not None:
            yield Text()
            yield more
    if seen.events:
        yield Text()
        yield Text("latest, UTC", style="dim")
        for event in reversed(seen.events):
            yield Text(f"{event.at:%H:%M:%S}  {event.words}", no_wrap=True, overflow="ellipsis")


def _head(seen: Seen, now_utc: datetime) -> Iterator[Text]:
    told = seen.told
    head = Text(text(told, "policy"), style="bold")
    head.append(f"  {text(told, 'version')}", style="not bold dim")
    head.append(f"  pid {told['pid']}  {program(told)}", style="not bold")
    started = moment(told, "started_at")
    if started is not None:
        head.append(f"  up {figures.spell((now_utc - started).total_seconds())}", style="not bold")
    yield head
    yield Text("   ".join(_sums(seen)))
    if texts(told, "panic"):
        models = ", ".join(texts(told, "panic"))
        yield Text(f"PANIC: everybody is refused for {models}", style="bold red")


def _sums(seen: Seen) -> Iterator[str]:
    """Yield what the process does, all backends together."""
    told, rates = seen.told, seen.rates
    if rates.seconds is None:
        yield "rates come with the next look"
        return
    if rates.requests_per_s is not None:
        yield f"{figures.rate(rates.requests_per_s)} requests/s"
    yield f"{figures.rate(rates.tokens_per_s)} tokens/s"
    yield f"{figures.money(rates.usd_per_hour, at_least=rates.usd_incomplete)}/hour"
    machines = [cost for row in rows(told, "backends") if (cost := fixed(row)) is not None]
    if machines:
        yield f"and {figures.money(sum(machines, Decimal(0)))}/hour for machines"
    reloads, failed = whole(told, "reloads"), whole(told, "failed")
    if reloads or failed:
        yield f"reloads: {reloads or 0}" + (f", {failed} failed" if failed else "")


def program(told: Row) -> str:
    """Return what a process was started as."""
    path = PurePath(text(told, "argv0"))
    return f"python -m {path.parent.name}" if path.name == "__main__.py" else path.name
