"""Scenarios from where people have them: keywords, a file, the sources' own, a ledger with its policy.

All of them come to one tree of keys, the later over the earlier, which is read in one way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridllm._adapters.book_data import shipped_book
from hybridllm._adapters.economics_data import shipped_facts
from hybridllm._core.economics.compile import compiled_scenario
from hybridllm._core.economics.facts import DAYS_PER_MONTH, SourceScenario, spelt
from hybridllm._core.economics.ranges import Range
from hybridllm._core.economics.scenario import Purchase, Scenario
from hybridllm._core.economics.schema import ScenarioSpec
from hybridllm._core.economics.sums import MTOK
from hybridllm._core.ledger.periods import microseconds, period
from hybridllm._core.money.price import Price
from hybridllm._core.policy.document import (
    WHOLE_FILE,
    Entry,
    Findings,
    ListNode,
    MapNode,
    Node,
    Scalar,
    plain,
    shown,
)
from hybridllm._core.policy.scalars import resolved_scalar
from hybridllm._core.policy.wording import validated_as
from hybridllm._runtime.wall_clock import utc_now
from hybridllm.errors import LedgerError, PolicyError

if TYPE_CHECKING:
    from hybridllm._core.economics.traffic import Measured
    from hybridllm._core.policy.compiled import Policy

_BYTES_READ_MAX = 2_097_152  # more than the reader takes, so that it tells of a file too large
_MACHINE_KEYS = ("gpu", "purchase")


def scenario_of(
    given: Mapping[str, Any] | None = None,
    *,
    file: str | Path | None = None,
    source: str | None = None,
) -> Scenario:
    """Return a scenario of keys; what is `given` goes before the file, and that before the sources'.

    Args:
        given: Keys as a scenario file has them; texts are read as YAML would read them.
        file: A YAML file of such keys.
        source: A scenario of the planning documents that all of it changes: `growth`.

    Raises:
        PolicyError: With every problem, each at its line and column, or at its key if it was given.
    """
    findings = Findings(str(file) if file is not None else "scenario")
    written = _read(file, findings) if file is not None else _node({})
    if not isinstance(written, MapNode):
        raise PolicyError(findings.source, findings.in_order())
    over = _node({key: value for key, value in (given or {}).items() if value is not None})
    keys = dict(written.entries)
    if isinstance(over, MapNode):
        keys |= over.entries
    named = _source(source, findings) if source is not None else None
    notes: tuple[str, ...] = ()
    if named is not None:
        keys = _under(named, keys) | keys
        notes = _source_notes(named, keys)
    made = _made(MapNode(keys, written.place), findings, name=named.name if named else "scenario")
    return replace(made, notes=(*notes, *made.notes))


def ledger_scenario(
    place: str | Path,
    given: Mapping[str, Any] | None = None,
    *,
    since: str = "30d",
    policy: Policy | None = None,
    now: datetime | None = None,
) -> Scenario:
    """Return the scenario of real traffic: its models, volume, mix of prompt and answer, cached shares.

    Args:
        place: Of the ledger: a file's path or a database's URL.
        given: Keys that go before what was measured.
        since: `30d`, `2026-11-01`, `last month`; it counts from where the ledger begins, if that is later.
        policy: Has what APIs ask for each model, and the machines with their `capacity`. Default: the prices
            of the model book, and no machines.
        now: Default: now.

    Raises:
        LedgerError: If it cannot be read, has no tokens in that time, or too many of models without a price.
        PolicyError: For what is wrong with `given`.
        ValueError: If `since` is no time.
    """
    found = _measured(place, since, policy=policy, now=now)
    over = {key: value for key, value in (given or {}).items() if value is not None}
    keys = _traffic_keys(found) | {"stable_days": int(found.days)}
    notes = list(found.notes())
    if policy is not None and not over.keys() & {"gpu", "gpu_usd_per_month"}:
        machines = _machine_keys(policy)
        keys |= machines
        if machines and not any(
            one.capacity.hidden_usd_per_month for one in policy.backends.values() if one.capacity
        ):
            notes.append("the policy names no hidden_usd_per_month: nothing hidden is counted")
    if over.keys() & {"model", "models"}:
        for key in ("models", "model"):
            keys.pop(key, None)
    made = scenario_of({"name": f"ledger {Path(str(place)).name}"} | keys | over)
    return replace(made, unpriced_share=found.unpriced_share, notes=(*notes, *made.notes))


def _measured(
    place: str | Path, since: str, *, policy: Policy | None, now: datetime | None
) -> Measured:
    from hybridllm._adapters.ledger.reader import LedgerReader
    from hybridllm._adapters.ledger.traffic import traffic_of
    from hybridllm._core.economics.traffic import measured
    from hybridllm._core.policy.listed_prices import list_prices_at

    now = now or utc_now()
    time = period(since, None, now_us=microseconds(now))
    reader = LedgerReader(place)
    window = traffic_of(reader, time)
    if policy is not None:
        hosted = [name for name, one in policy.backends.items() if not one.own]
        asked = {one.model: list_prices_at(policy, one.model, now) for one in window.seen}
        found = measured(window, asked, hosted=hosted)
    else:
        entries = {one.model: shipped_book().get(one.model) for one in window.seen}
        prices = {name: (one.price,) for name, one in entries.items() if one and one.price}
        found = measured(window, prices)
    if not found.parts and not found.unpriced:
        raise LedgerError(f"{reader.name} holds no tokens of {time}")
    if not found.known:
        raise LedgerError(
            f"{found.unpriced_share * 100:.1f} % of the tokens are of models without a price: "
            f"{', '.join(found.unpriced)}; name a policy that has them with prices"
        )
    return found


def _traffic_keys(found: Measured) -> dict[str, Any]:
    total = found.tokens_per_day
    return {
        "tokens_per_day": int(total),
        "models": {
            part.model: {
                "share": part.tokens / total,
                "input_share": part.tokens_in / part.tokens,
                "cached": part.cached_share,
                "price": _price_keys(part.price),
            }
            for part in found.parts
        },
    }


def _price_keys(price: Price) -> dict[str, Any]:
    keys = {
        "input_per_1m": price.usd_per_mtok_in,
        "output_per_1m": price.usd_per_mtok_out,
        "cached_input_per_1m": price.usd_per_mtok_cached_in,
        "price_id": price.price_id,
    }
    return {key: value for key, value in keys.items() if value is not None}


def _machine_keys(policy: Policy) -> dict[str, Any]:
    from hybridllm._core.money.break_even import one_set
    from hybridllm._core.policy.hybrid import DAYS_A_MONTH

    owned = {name: one.capacity for name, one in policy.backends.items() if one.capacity}
    if not owned:
        return {}
    machines = one_set(owned.values())
    keys: dict[str, Any] = {
        "gpu": ", ".join(owned),
        "gpu_usd_per_month": machines.usd,
        "own_usd_per_1m": machines.usd_per_token * MTOK,
        "hidden": "none",
    }
    if machines.tokens is not None:
        keys["gpu_tokens_per_day"] = int(machines.tokens / DAYS_A_MONTH)
    return keys


def _source(name: str, findings: Findings) -> SourceScenario:
    found = shipped_facts().scenario(name)
    if found is None:
        names = [one.name for one in shipped_facts().scenarios]
        hint = findings.hint(name, names)
        findings.error(
            WHOLE_FILE,
            ("scenario",),
            f"{name!r} is none of the sources'; they have {', '.join(names)}{hint}",
        )
        raise PolicyError(findings.source, findings.in_order())
    return found


def _under(named: SourceScenario, over: Mapping[str, Entry]) -> dict[str, Entry]:
    """The keys of a source's scenario that hold under what somebody says."""
    keys: dict[str, Any] = {
        "name": named.name,
        "tokens_per_day": named.tokens_per_day,
        "days_per_month": DAYS_PER_MONTH,
        "hidden": "none",
    }
    if not over.keys() & {"model", "models"}:
        keys |= {"model": named.model, "also": list(named.also)}
    if "models" not in over:
        keys["input_share"] = named.input_share
    gpus = plain(over["gpu"].value) if "gpu" in over else named.gpus
    if gpus is not None:
        keys["gpu"] = gpus
        purchase = plain(over["purchase"].value) if "purchase" in over else Purchase.CLOUD.value
        usd = {form.value: usd for form, usd in named.own_usd_per_month.items()}.get(str(purchase))
        if spelt(str(gpus)) == spelt(named.gpus or ""):
            keys |= {"gpu_usd_per_month": usd, "gpu_tokens_per_day": named.tokens_per_day_of_gpus}
    made = _node({key: value for key, value in keys.items() if value is not None})
    return dict(made.entries) if isinstance(made, MapNode) else {}


def _source_notes(named: SourceScenario, keys: Mapping[str, Entry]) -> tuple[str, ...]:
    notes = []
    if "hidden" in keys and plain(keys["hidden"].value) == "none" and named.own_usd_per_month:
        notes.append(
            "as in the sources, GPUs alone are counted; `hidden: source` adds what they forget"
        )
    if named.api_usd_stated != named.api_usd_recomputed:
        notes.append(
            f"the source prints {named.api_usd_stated:,.2f} USD a month for the API; by its own price it is "
            f"{named.api_usd_recomputed:,.2f}"
        )
    if named.stated:
        notes.append(f"the source concludes: {named.stated}")
    return tuple(notes)


def _made(root: MapNode, findings: Findings, *, name: str) -> Scenario:
    spec = validated_as(ScenarioSpec, root, findings)
    made = None
    if spec is not None and not findings.failed:
        made = compiled_scenario(
            spec, root, findings, book=shipped_book(), facts=shipped_facts(), name=name
        )
    if made is None:
        raise PolicyError(findings.source, findings.in_order())
    return made


def _read(file: str | Path, findings: Findings) -> Node | None:
    from hybridllm._adapters.yaml_document import read_document

    try:
        with Path(file).open("rb") as opened:
            data = opened.read(_BYTES_READ_MAX)
    except OSError as error:
        findings.error(WHOLE_FILE, (), f"cannot be read: {error.strerror}")
        return None
    root = read_document(data, findings)
    if root is not None and not isinstance(root, MapNode):
        findings.error(root.place, (), f"{shown(root)} must be a mapping (key: value)")
    return None if findings.failed else root


def _node(value: Any) -> Node:
    """A value as a file would have it; it stands nowhere."""
    if isinstance(value, Mapping):
        entries = {str(key): Entry(str(key), WHOLE_FILE, _node(one)) for key, one in value.items()}
        return MapNode(entries, WHOLE_FILE)
    if isinstance(value, Range):
        return _node([value.low, value.likely, value.high])
    if isinstance(value, list | tuple):
        return ListNode(tuple(_node(one) for one in value), WHOLE_FILE)
    if isinstance(value, str):
        try:
            resolved = resolved_scalar(value)
        except ValueError:
            resolved = value  # its field says what is right
        return Scalar(resolved, WHOLE_FILE, value)
    number = Decimal(str(value)) if isinstance(value, float) else value
    return Scalar(number, WHOLE_FILE, str(number))
