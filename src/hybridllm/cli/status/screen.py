"""What `hybridllm status` shows: for each process a head, its candidates and its backends."""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from hybridllm.cli.status import figures
from hybridllm.cli.status.values import moment, money, number, rows, text, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybridllm.cli.status.ask import Found

_PIPE_WIDTH = 400
DRIFT_SHOWN_MIN = 0.01
"""Share by which costs must differ from what a backend says itself to be shown."""
_BREAKERS = {"closed": "green", "open": "bold red", "half_open": "yellow"}
_GATE = "magenta"


def console() -> Console:
    """Return where to draw: in a pipe as wide as it needs to be. Nothing in our texts is markup."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)


def picture(found: Found, folder: str) -> RenderableType:
    """Return everything that there is to see."""
    parts: list[RenderableType] = []
    for told in found.processes:
        parts += [*_head(told), Text(), _candidates(told), Text(), _backends(told), Text()]
        if lines := [
            *_loads(told),
            *_drifts(told),
            *_overflows(told),
            *_cascades(told),
            *_caches(told),
            *_volumes(told),
            *_shadows(told),
            *_budgets(told),
        ]:
            parts += [*lines, Text()]
    parts += [Text(f"{name}: {why}", style="yellow") for name, why in found.silent]
    if not parts:
        parts = [Text(nobody(folder))]
    return Group(*(parts[:-1] if found.processes and not found.silent else parts))


def nobody(folder: str) -> str:
    """Say that nobody is there, and how somebody would be."""
    return (
        f"no process tells its status in {folder}; a router does that from its first request on, if it was "
        f"made with Router.from_file(..., status_dir={folder!r})"
    )


def _head(told: dict[str, Any]) -> Iterator[Text]:
    head = Text(f"{told['policy']}", style="bold")
    head.append(f"  {told['version']}", style="not bold dim")
    if told.get("file"):
        head.append(f"  {told['file']}", style="not bold dim")
    yield head
    program = PurePath(str(told["argv0"]))
    argv0 = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    since = str(told["started_at"]).replace("T", " ").replace("+00:00", " UTC")
    facts = [f"pid {told['pid']}", argv0, f"since {since}"]
    yield Text("  ".join(fact for fact in facts if fact))
    line = Text(f"retry budget: {_whole(told['retry_budget_left'])} attempts left   ")
    line.append(f"reloads: {told['reloads']}")
    if told["failed"]:
        line.append(f", {told['failed']} failed", style="yellow")
    yield line
    if told.get("last_error"):
        first = str(told["last_error"]).splitlines()[0]
        yield Text(f"the last reload failed: {first}", style="yellow")
    if told["panic"]:
        models = ", ".join(map(str, told["panic"]))
        yield Text(f"PANIC: everybody is refused for {models}", style="bold red")


def _candidates(told: dict[str, Any]) -> Table:
    made = _table()
    made.add_column("candidate", overflow="fold")
    made.add_column("state", no_wrap=True)
    made.add_column("failed\n10 s", justify="right", no_wrap=True)
    made.add_column("first token\np50/p95 ms", justify="right", no_wrap=True)
    made.add_column("answer\np50/p95 ms", justify="right", no_wrap=True)
    tells = any(row.get("cached_share") is not None for row in told["candidates"])
    if tells:
        made.add_column("cached", justify="right", no_wrap=True)
    made.add_column("why", overflow="fold", min_width=20)
    for row in told["candidates"]:
        made.add_row(
            f"{row['backend']}/{row['model']}",
            _state(row),
            f"{row['failures']}/{row['attempts']}" if row["attempts"] else "-",
            _both_ms(row, "first_token_ms"),
            _both_ms(row, "answer_ms"),
            *([_cached(row)] if tells else []),
            str(row["reason"]),
        )
    return made


def _state(row: dict[str, Any]) -> Text:
    """Return the gate that is closed, or the breaker's phase; words differ, so colours may be missing."""
    if row["gate"]:
        return Text(f"{row['gate']} gate", style=_GATE)
    phase = str(row["breaker"])
    return Text(phase.replace("_", "-"), style=_BREAKERS.get(phase, ""))


def _backends(told: dict[str, Any]) -> Table:
    made = _table()
    made.add_column("backend", overflow="fold")
    for name in ("under way", "limit", "waiting", "attempts", "cost"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("awake", no_wrap=True)
    for row in told["backends"]:
        limit, in_flight = row["limit"], row["in_flight"]
        full = limit is not None and in_flight >= limit
        made.add_row(
            str(row["backend"]),
            Text(str(in_flight), style="yellow" if full else ""),
            "-" if limit is None else str(limit),
            Text(str(row["waiting"]), style="yellow" if row["waiting"] else ""),
            figures.count(number(row, "attempts")),
            figures.money(money(row, "cost_usd"), at_least=bool(number(row, "cost_unknown"))),
            _awake(row),
        )
    return made


def _awake(row: dict[str, Any]) -> Text:
    """Return when a backend that sleeps is expected; empty: it is awake, or never sleeps."""
    back_in_s = number(row, "awake_in_s")
    return Text() if back_in_s is None else Text(f"in {figures.spell(back_in_s)}", style="yellow")


def _drifts(told: dict[str, Any]) -> Iterator[Text]:
    """Yield the backends whose own costs are not what our prices make of them."""
    for row in told["backends"]:
        drift = number(row, "cost_drift")
        if drift is not None and abs(drift) > DRIFT_SHOWN_MIN:
            words = "more" if drift > 0 else "less"
            cost = f"{abs(drift):.1%} {words} than it says itself"
            told_so = f"{row['backend']}: its answers cost {cost}, by our prices"
            yield Text(told_so, style="yellow")


def _loads(told: dict[str, Any]) -> Iterator[Text]:
    """Yield what is known of the load of backends; an older process tells nothing of it."""
    for row in told["backends"]:
        known = (
            (figures.count(number(row, "running")), "running"),
            (figures.count(number(row, "queued")), "queued"),
            (figures.percent(number(row, "kv_used")), "of the KV cache"),
            (figures.wait(number(row, "wait_s")), "to wait"),
            (figures.rate(number(row, "tokens_per_s")), "tokens/s"),
            (figures.percent(number(row, "cache_hit_rate")), "prefix hits"),
        )
        words = [f"{figure} {what}" for figure, what in known if figure != figures.NOT_KNOWN]
        why = text(row, "saturated")
        if words or why:
            line = Text(f"load of {text(row, 'backend')}: {', '.join(words) or 'unknown'}")
            yield line.append(f"; saturated: {why}" if why else "", style="yellow")


def _overflows(told: dict[str, Any]) -> Iterator[Text]:
    for row in rows(told, "overflows"):
        sources, to = ", ".join(texts(row, "sources")), ", ".join(texts(row, "to"))
        left, stayed = number(row, "left"), number(row, "stayed")
        of = None if left is None or stayed is None else left + stayed
        line = Text(f"overflow of {text(row, 'route')}: {sources} -> {to}; ")
        line.append(f"{figures.count(left)} of {figures.count(of)} requests left")
        if row.get("on") is True:
            now = f"; ON for {figures.spell(number(row, 'on_for_s'))}: {text(row, 'why')}"
            line.append(now, style="yellow")
        yield line


def _cascades(told: dict[str, Any]) -> Iterator[Text]:
    for row in rows(told, "cascades"):
        line = Text(
            f"cascade of {text(row, 'route')}: {text(row, 'first')} -> {text(row, 'then')}; "
        )
        escalated, checked = number(row, "escalated"), number(row, "checked")
        line.append(f"{figures.count(escalated)} of {figures.count(checked)} answers escalated")
        yield line.append(f"; saved ${text(row, 'saved_usd')}")


def _caches(told: dict[str, Any]) -> Iterator[Text]:
    for row in rows(told, "caches"):
        hits, shared = number(row, "hits"), number(row, "shared")
        line = Text(f"cache of {text(row, 'route')}: {figures.count(hits)} hits, ")
        line.append(
            f"{figures.count(shared)} shared, {figures.count(number(row, 'misses'))} misses"
        )
        yield line.append(f"; saved ${text(row, 'saved_usd')}")


def _volumes(told: dict[str, Any]) -> Iterator[Text]:
    for row in rows(told, "volumes"):
        whose, share = text(row, "whose"), number(row, "share")
        line = Text(f"{text(row, 'condition')}{f' of {whose}' if whose else ''}: ")
        if row.get("holds") is True:
            line.append("HOLDS", style="green")
        else:
            line.append(f"does not hold; {figures.percent(share)} of the way")
        since = moment(row, "since")
        yield line.append("" if since is None else f"; since {since:%Y-%m-%d %H:%M} UTC")


def _shadows(told: dict[str, Any]) -> Iterator[Text]:
    for row in rows(told, "shadows"):
        agreed, seen = number(row, "agreement"), figures.count(number(row, "samples"))
        line = Text(f"shadow of {text(row, 'route')}: {text(row, 'model')} ")
        standing = text(row, "standing")
        line.append(standing, style="yellow" if standing in ("proposed", "rolled back") else "")
        yield line.append(f"; {figures.percent(agreed)} of {seen} answers agree")


def _budgets(told: dict[str, Any]) -> Iterator[Text]:
    for row in rows(told, "budgets"):
        whose, resets_at = text(row, "whose"), moment(row, "resets_at")
        spent, held = money(row, "spent_usd"), money(row, "reserved_usd")
        line = Text(f"budget {text(row, 'budget')}{f' of {whose}' if whose else ''}: ")
        line.append(f"{figures.money(spent)} spent and {figures.money(held)} reserved")
        line.append(f" of {figures.money(money(row, 'limit_usd'))}")
        line.append("" if resets_at is None else f", until {resets_at:%Y-%m-%d %H:%M} UTC")
        reached = texts(row, "reached")
        yield line.append(f"; reached: {', '.join(reached)}" if reached else "", style="yellow")


def _table() -> Table:
    return Table(header_style="dim", box=None, padding=(0, 2, 0, 0), pad_edge=False)


def _both_ms(row: dict[str, Any], name: str) -> str:
    half, most = row.get(f"{name}_p50"), row.get(f"{name}_p95")
    return "-" if half is None or most is None else f"{_whole(half)}/{_whole(most)}"


def _cached(row: dict[str, Any]) -> str:
    """Return the share of prompt tokens that were cached."""
    share = row.get("cached_share")  # an older process has none
    return f"{share:.0%}" if isinstance(share, int | float) else "-"


def _whole(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, int | float) else str(value)
