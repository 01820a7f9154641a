"""Grouped sums of a ledger, made by the database: a million rows come out as a few hundred.

Money is summed in two halves, so that no sum overflows 64 bits: whole microdollars, and what is left of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import JSON, Connection, Table, and_, case, cast, func, literal_column, or_, select
from sqlalchemy.sql import ColumnElement

from hybridllm._adapters.ledger.tables import ATTEMPTS, REQUESTS
from hybridllm._core.ledger.costs import Ranks, ranks_of
from hybridllm._core.ledger.periods import DAY_US, HOUR_US, Period, instant
from hybridllm._core.ledger.rows import INTENT
from hybridllm._core.ledger.what_if import Traffic

_HALF = 1_000_000
_COLUMNS = {"user": "user_id"}
_OF_REQUESTS = {"backend": "served_backend", "model": "served_model"}
_TIMES = {"day": (DAY_US, "%Y-%m-%d"), "hour": (HOUR_US, "%Y-%m-%dT%H:00")}
_NAMED = ("tenant", "feature", "task", "route", "backend", "model", "session", "policy", "user")


class Grouping(NamedTuple):
    """What rows are grouped by: names of columns, of times, of declared keys."""

    by: tuple[str, ...]
    sqlite: bool

    def columns(self, table: Table) -> list[ColumnElement[Any]]:
        """Return the columns, labelled `g0`, `g1` and so on."""
        return [self._column(table, name).label(f"g{n}") for n, name in enumerate(self.by)]

    def values(self, row: Mapping[Any, Any]) -> dict[str, str | None]:
        """Return the values of a row by their groupings' names; times as text."""
        return {name: self._value(name, row[f"g{n}"]) for n, name in enumerate(self.by)}

    def _column(self, table: Table, name: str) -> ColumnElement[Any]:
        if name in _TIMES:
            return table.c.started_us // _TIMES[name][0]
        if name in _NAMED:
            name = _COLUMNS.get(name, name)
            found: ColumnElement[Any] = table.c[
                _OF_REQUESTS.get(name, name) if table is REQUESTS else name
            ]
            return found
        if self.sqlite:
            return func.json_extract(table.c["keys"], f"$.{_quoted(name)}")
        text: ColumnElement[Any] = cast(table.c["keys"], JSON)[name].as_string()
        return text

    @staticmethod
    def _value(name: str, value: Any) -> str | None:
        if value is None:
            return None
        if name in _TIMES:
            unit_us, form = _TIMES[name]
            return format(instant(value * unit_us), form)
        return str(value)


def attempt_sums(
    connection: Connection, grouping: Grouping, time: Period, own: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Yield, for each group, what its attempts cost and used; of `own` backends no attempt's is unknown."""
    c = ATTEMPTS.c
    tokens = {name: func.sum(c[name]) for name in _TOKENS}
    spent = func.coalesce(c.cost_pico, 0) + func.coalesce(c.fixed_pico, 0)
    wasted = and_(c.outcome.not_in(("served", INTENT)), c.shadow == 0)
    money = (
        _halves("cost_pico", c.cost_pico)
        + _halves("fixed_pico", c.fixed_pico)
        + _halves("wasted_pico", case((wasted, spent), else_=0))
        + _halves("shadow_pico", case((c.shadow == 1, spent), else_=0))
    )
    columns = grouping.columns(ATTEMPTS)
    wanted = (
        select(
            *columns,
            func.count().label("attempts"),
            _counted("escalations", c.outcome == "escalated"),
            _counted("unknown", _unknown(own)),
            *(column.label(name) for name, column in tokens.items()),
            *money,
        )
        .where(*_within(ATTEMPTS, time))
        .group_by(*_places(columns))
    )
    names = ("cost_pico", "fixed_pico", "wasted_pico", "shadow_pico")
    for row in connection.execute(wanted).mappings():
        sums = {name: _whole(row, name) for name in names}
        counts = {name: int(row[name] or 0) for name in ("attempts", "escalations", "unknown")}
        used = {name: int(row[name] or 0) for name in _TOKENS}
        yield grouping.values(row) | sums | counts | used


def request_sums(
    connection: Connection, grouping: Grouping, time: Period
) -> Iterator[dict[str, Any]]:
    """Yield, for each group, how many requests there were, how many succeeded, and what a cache saved."""
    c = REQUESTS.c
    succeeded = or_(c.success == 1, and_(c.success.is_(None), c.outcome == "ok"))
    columns = grouping.columns(REQUESTS)
    wanted = (
        select(
            *columns,
            func.count().label("requests"),
            _counted("succeeded", succeeded),
            func.count(c.success).label("answers_known"),
            _counted("cache_hits", c.cache.is_not(None)),
            _counted("saved_unknown", and_(c.cache.is_not(None), c.saved_pico.is_(None))),
            *_halves("saved_pico", c.saved_pico),
        )
        .where(*_within(REQUESTS, time), c.shadow_of.is_(None))
        .group_by(*_places(columns))
    )
    names = ("requests", "succeeded", "answers_known", "cache_hits", "saved_unknown")
    for row in connection.execute(wanted).mappings():
        counts = {name: int(row[name] or 0) for name in names}
        yield grouping.values(row) | counts | {"saved_pico": _whole(row, "saved_pico")}


def latencies(
    connection: Connection, grouping: Grouping, time: Period
) -> tuple[list[dict[str, Any]], Ranks]:
    """Return the latencies of answered requests for each group, and of all of them together.

    Sorted here: a window function takes SQLite thrice as long, and a million of them are 8 MB.
    """
    c = REQUESTS.c
    columns = grouping.columns(REQUESTS)
    wanted = select(*columns, c.duration_us).where(
        *_within(REQUESTS, time), c.shadow_of.is_(None), c.outcome == "ok"
    )
    found: dict[Any, array[int]] = {}
    for part in connection.execute(wanted.execution_options(yield_per=10_000)).partitions():
        for *key, duration_us in part:
            place = tuple(key)
            try:
                found[place].append(duration_us)
            except KeyError:
                found[place] = array("q", (duration_us,))
    groups = []
    whole = array("q")
    for place, durations in found.items():
        whole.extend(durations)
        named = {column.name: value for column, value in zip(columns, place, strict=True)}
        groups.append(grouping.values(named) | ranks_of(durations)._asdict())
    return groups, ranks_of(whole)


def machine_tokens(
    connection: Connection, grouping: Grouping, time: Period, backends: Collection[str]
) -> Iterator[tuple[str, int, dict[str, Any], int]]:
    """Yield (backend, day since the epoch, group, tokens) of own machines."""
    c = ATTEMPTS.c
    columns = grouping.columns(ATTEMPTS)
    day = c.started_us // DAY_US
    wanted = (
        select(*columns, c.backend.label("machine"), day.label("at"), _tokens().label("tokens"))
        .where(*_within(ATTEMPTS, time), c.backend.in_(list(backends)))
        .group_by(*_places(columns), literal_column("machine"), literal_column("at"))
    )
    for row in connection.execute(wanted).mappings():
        yield row["machine"], int(row["at"]), grouping.values(row), int(row["tokens"] or 0)


def traffic_by_hour(
    connection: Connection, time: Period, own: Collection[str]
) -> dict[int, Traffic]:
    """Return what was sent in each hour since the epoch."""
    c = ATTEMPTS.c
    served = and_(c.outcome == "served", c.shadow == 0)
    is_own = or_(c.backend.in_(list(own)), c.list_cost_pico.is_not(None))
    at_api = case((is_own, c.list_cost_pico), else_=c.cost_pico)
    billed = and_(c.maybe_billed == 1, c.outcome != INTENT)
    hour = (c.started_us // HOUR_US).label("hour")
    wanted = (
        select(
            hour,
            *(func.sum(c[name]).label(name) for name in _TOKENS),
            *(
                func.sum(case((served, c[name]), else_=0)).label(f"served_{name}")
                for name in _TOKENS
            ),
            _counted("attempts", c.input_tokens.is_not(None)),
            _counted("served", and_(served, c.input_tokens.is_not(None))),
            _counted("uncounted", and_(billed, c.input_tokens.is_(None))),
            _counted("api_unknown", and_(billed, at_api.is_(None))),
            *_halves("api_pico", at_api),
        )
        .where(*_within(ATTEMPTS, time))
        .group_by(literal_column("hour"))
    )
    found = {}
    for row in connection.execute(wanted).mappings():
        used = [int(row[name] or 0) for name in (*_TOKENS, *(f"served_{name}" for name in _TOKENS))]
        counts = (int(row[name] or 0) for name in ("attempts", "served", "uncounted"))
        unknown = int(row["api_unknown"] or 0)
        found[int(row["hour"])] = Traffic._make([*used, *counts, _whole(row, "api_pico"), unknown])
    return found


def declared_keys(connection: Connection) -> list[str]:
    """Return texts of declared keys that rows have: a few, to tell which names there are."""
    column = ATTEMPTS.c["keys"]
    wanted = select(column).where(column.is_not(None)).distinct().limit(200)
    return [str(text) for text in connection.scalars(wanted)]


def first_us(connection: Connection) -> int | None:
    """Return when the first attempt was sent; None: there is none."""
    found = connection.scalar(select(func.min(ATTEMPTS.c.started_us)))
    return None if found is None else int(found)


_TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens")


def _tokens() -> ColumnElement[Any]:
    c = ATTEMPTS.c
    return func.sum(func.coalesce(c.input_tokens, 0) + func.coalesce(c.output_tokens, 0))


def _unknown(own: Collection[str]) -> ColumnElement[bool]:
    c = ATTEMPTS.c
    none = and_(c.cost_pico.is_(None), c.fixed_pico.is_(None), c.maybe_billed == 1)
    return and_(none, c.backend.not_in(list(own))) if own else none


def _within(table: Table, time: Period) -> tuple[ColumnElement[bool], ...]:
    at: ColumnElement[Any] = table.c.started_us
    return at >= time.since_us, at < time.until_us


def _places(columns: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    """By label: a repeated expression would bind its parameters anew, and PostgreSQL take it for another."""
    return [literal_column(f"g{n}") for n in range(len(columns))]


def _counted(name: str, condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.sum(case((condition, 1), else_=0)).label(name)


def _halves(name: str, amount: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    return [
        func.sum(amount // _HALF).label(f"{name}_high"),
        func.sum(amount % _HALF).label(f"{name}_low"),
    ]


def _whole(found: Any, name: str) -> int:
    return int(found[f"{name}_high"] or 0) * _HALF + int(found[f"{name}_low"] or 0)


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
