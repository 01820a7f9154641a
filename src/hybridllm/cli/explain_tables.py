"""A decision as tables: what was asked, the verdict, who may be asked in order, who may not, and why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import typer

from hybridllm.cli.output import note, paragraph, price_columns, usd
from hybridllm.cli.tables import Table, show

if TYPE_CHECKING:
    from hybridllm import Explanation

Row = dict[str, Any]


def draw(explanation: Explanation) -> None:
    """Print a decision."""
    told = explanation.to_dict()
    asked = ((name.removesuffix("_estimate"), value) for name, value in told["request"].items())
    note(", ".join(f"{name} {_words(value)}" for name, value in asked))
    if told["world"] is not None:
        note(f"in a world with {_world(told['world'])}")
    if explanation.allowed:
        allowed = typer.style("allowed", fg="green", bold=True)
        typer.echo(f"{allowed} by route {explanation.route} of {told['policy']}; {_end(told)}\n")
        show(_asked_in_order(told["candidates"]))
        typer.echo()
        show(_reasons(told["candidates"]))
        if (cache := told["cache"]) is not None:
            note(f"answers are kept for {cache['ttl_s']:g} s ({cache['when']})")
        if (cascade := told["cascade"]) is not None:
            typer.echo()
            note(
                f"an answer of {cascade['first']} is checked ({', '.join(cascade['checks'])}), then "
                f"{cascade['then']} is asked"
            )
    else:
        denied = typer.style("denied", fg="red", bold=True)
        typer.echo(f"{denied} by {explanation.rule}; nothing would be sent")
        if not told["dropped"]:
            paragraph(told["message"])
    tables = (
        (told["dropped"], _not_asked),
        (told["residency_tags"], _tags),
        ([one for one in told["constraints"] if one["holds"]], _constraints),
        (told["routes"], _routes),
    )
    for rows, table in tables:
        if rows:
            typer.echo()
            show(table(rows))


def _end(told: Row) -> str:
    answer, given = told["answer"], told["world"] is not None
    if answer is None:
        return typer.style(f"nobody answers ({told['error']})", fg="red")
    verb = "answers" if given else "is asked first"
    waits = f", waits {answer['waits']}" if answer["waits"] else ""
    return f"{answer['candidate']} {verb} ({answer['reason']}{waits})"


def _asked_in_order(candidates: list[Row]) -> Table:
    """Return who may be asked; what is only now and then there to say has a column only then."""
    perhaps: dict[str, Callable[[Row], str]] = {
        "now": lambda one: one["passed_over"] or "",
        "in flight": lambda one: str(one["in_flight"] or ""),
        "load": lambda one: _load(one["load"]),
        "measured": lambda one: _latency(one["latency"] or {}),
        "misses": lambda one: one["objective_missed"] or "",
        "drawn for": lambda one: "" if one["split_share"] is None else _percent(one["split_share"]),
    }
    said = {name: cell for name, cell in perhaps.items() if any(map(cell, candidates))}
    columns = ("", "would be asked", "region", "in", "out", "expected cost", *said)
    right = ("", "in", "out", "expected cost", "in flight", "drawn for")
    made = Table(*columns, right=right, prose=("load", "measured", "misses"))
    for number, one in enumerate(candidates, start=1):
        made.add_row(
            str(number),
            one["candidate"],
            one["region"] or "undeclared",
            *price_columns(_usd(one["usd_per_mtok_in"]), _usd(one["usd_per_mtok_out"])),
            usd(_usd(one["expected_cost_usd"])),
            *(cell(one) for cell in said.values()),
        )
    return made


def _reasons(candidates: list[Row]) -> Table:
    """Return why each stands where it stands; neighbours with the same reason share a line."""
    made = Table("", "because", right=("",), prose=("because",))
    number = 0
    for reason, neighbours in groupby(candidates, key=itemgetter("reason")):
        first, number = number + 1, number + len(list(neighbours))
        made.add_row(str(first) if first == number else f"{first}-{number}", reason)
    return made


def _not_asked(dropped: list[Row]) -> Table:
    made = Table("would not be asked", "for its", "why", prose=("why",))
    cells = ((one["candidate"], one["reason"], one["detail"]) for one in dropped)
    for row in dict.fromkeys(cells):
        made.add_row(*row)
    return made


def _tags(tags: list[Row]) -> Table:
    made = Table("residency tag", "of the", "allows", prose=("allows",))
    for one in tags:
        sources = ("policy's default" if source == "default" else source for source in one["from"])
        made.add_row(one["tag"], " and ".join(sources), _terms(one["allows"]))
    return made


def _constraints(constraints: list[Row]) -> Table:
    made = Table(
        "constraint", "restricts to", "what it does", prose=("restricts to", "what it does")
    )
    for one in constraints:
        does = f"drops {', '.join(one['dropped'])}" if one["dropped"] else "applies"
        if one["mode"] == "observe":
            does = f"only observes; would {'; '.join(one['would']) or 'drop nobody'}"
        made.add_row(one["constraint"], _terms(one["restricts"]), does)
    return made


def _routes(routes: list[Row]) -> Table:
    made = Table("", "route looked at", "verdict", right=("",), prose=("verdict",))
    for number, one in enumerate(routes, start=1):
        verdict = "decides" if one["decides"] else "would decide, but only observes"
        if not one["holds"]:
            verdict = f"no: asks for {one['failing']}"
        made.add_row(str(number), one["route"], verdict)
    return made


def _world(world: Row) -> str:
    parts = [f"{', '.join(world['down'])} down"] if world["down"] else []
    parts += [f"{count} in flight on {name}" for name, count in world["in_flight"].items()]
    parts += [f"{name} {_latency(latency)}" for name, latency in world["latency"].items()]
    parts += [
        f"{'every own backend' if name == '*' else name} {_said(load)}"
        for name, load in world["load"].items()
    ]
    parts += [f"volume {_said(volume)}" for volume in world["volume"]]
    parts += [f"break-even {world['break_even']}"] if world["break_even"] else []
    if world["chance"]:
        parts.append(f"chance {world['chance']:g}")
    now = datetime.fromisoformat(world["now"]).strftime("%a %Y-%m-%d %H:%M UTC")
    return "; ".join(parts or ["nothing amiss"]) + f"; at {now}"


def _load(load: Row) -> str:
    words = {
        "saturated": "saturated ({})",
        "waiting": "{:g} waiting",
        "running": "{:g} running",
        "kv_cache_pct": "KV cache {:g} %",
        "predicted_wait_ms": "predicted wait {:g} ms",
    }
    return ", ".join(told.format(load[name]) for name, told in words.items() if name in load)


def _said(told: Row) -> str:
    return ", ".join(name if said is True else f"{name} {said}" for name, said in told.items())


def _latency(latency: dict[str, dict[str, float]]) -> str:
    return ", ".join(
        f"{what.removesuffix('_ms')} "
        + ", ".join(f"{percentile} {ms:g}" for percentile, ms in values.items())
        + " ms"
        for what, values in latency.items()
    )


def _terms(terms: Row) -> str:
    """`regions eu; deny backends us`; a ceiling is a text, names are a list."""
    parts = []
    for name, value in terms.items():
        told = _terms(value) if isinstance(value, dict) else _words(value, ", ")
        parts.append(f"{name} {told}")
    return "; ".join(parts) or "anything"


def _words(value: Any, between: str = " and ") -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return between.join(value) if isinstance(value, list) else str(value)


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


def _usd(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
