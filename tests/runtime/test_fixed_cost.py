"""Machines that are paid by the month: what a token costs there stands on receipts and spans, and orders."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.span_trees import recording
from hybridllm import Receipt, receipt
from hybridllm._core.money.capacity import FixedCost
from hybridllm.testing import Reply, run_in_virtual_time
from runtime.reloading import put, reloading
from runtime.world import Script, scripted

# 2,629.80 USD a month are 0.001 USD a second; at 100 tokens a second a million of them costs 10 USD.
POLICY = """
version: 1
backends:
  own: {kind: vllm, base_url: "https://own.test/v1", operator: self, price: free,
        capacity: {usd_per_month: 2629.80, tokens_per_second: 200}}
  eu: {kind: api, base_url: "https://eu.test/v1"}
  us: {kind: api, base_url: "https://us.test/v1"}
models:
  m:
    on:
      own: m
      eu: {name: m, price: {input_per_1m: 1, output_per_1m: 4}}
      us: {name: m, price: {input_per_1m: 2, output_per_1m: 3, cached_input_per_1m: 1}}
tasks: {t: {}}
routes:
  - {name: cheapest, when: {tenant: cheapest}, use: [{model: m, order_by: marginal_price}]}
  - {name: away, when: {tenant: away}, use: [{model: m, on: [eu]}]}
  - {name: own, use: [{model: m, on: [own, eu]}]}
"""
BIG = Reply.chat("hi", usage=(900, 100))


async def asked(here: Script, *, every_s: float, times: int, **params: Any) -> Receipt:
    """Ask so many times in so long steps; return the last receipt."""
    told: list[Receipt] = []
    for _ in range(times):
        await asyncio.sleep(every_s)
        told.append(receipt(await here.chat(**params)))
    return told[-1]


def served_by(told: Receipt) -> str:
    assert told.served is not None
    return told.served.backend


def test_a_receipt_shows_what_a_token_cost_and_what_it_would_have_cost_at_an_api() -> None:
    """1,000 tokens every ten seconds: 100 a second, half of what it can do; one more is free."""

    async def main() -> None:
        async with scripted(POLICY, own=BIG) as here:
            first = await asked(here, every_s=2, times=1)
            told = await asked(here, every_s=10, times=12)
            later = await asked(here, every_s=4.9, times=1)
        (attempt,) = first.attempts
        assert attempt.fixed == FixedCost(
            full_usd_per_mtok=Decimal(5), marginal_usd_per_mtok=Decimal(0)
        )
        (attempt,) = told.attempts
        fixed = attempt.fixed
        assert fixed is not None
        assert fixed.tokens_per_s is not None
        assert fixed.average_usd_per_mtok is not None
        # The minute begins with a bucket of five seconds: six answers from 65 s to 124 s.
        assert fixed.tokens_per_s == pytest.approx(6_000 / 57, rel=1e-3)
        assert fixed.utilisation == fixed.tokens_per_s / 200
        assert fixed.average_usd_per_mtok == 1_000 / Decimal(str(fixed.tokens_per_s))
        assert fixed.full_usd_per_mtok == 5
        assert fixed.marginal_usd_per_mtok == 0
        # 900 in and 100 out are 0.0013 USD at `eu`, 0.0021 at `us`.
        assert attempt.list_price is not None
        assert attempt.list_price.usd_per_mtok_out == 4
        assert attempt.list_cost_usd == told.list_cost_usd == Decimal("0.0013")
        assert told.cost_usd == 0
        assert later.attempts[0].fixed is not None
        assert later.attempts[0].fixed.tokens_per_s == pytest.approx(7_000 / 56.9, rel=1e-3)
        assert str(told).splitlines()[-2] == (
            "     paid by the month: 53 % used, $9.5 per 1M tokens on average, 1M more would add $0, "
            "at an API $0.0013 (policy:m)"
        )
        # What it cost here is its share at the average price: 1,000 tokens of it.
        assert attempt.own_cost_usd == told.all_own_usd
        assert told.all_own_usd == round(fixed.average_usd_per_mtok / 1_000, 12)
        assert told.all_api_usd == Decimal("0.0013")
        assert (
            str(told).splitlines()[-1] == "  all of it on own machines: $0.0095; at APIs: $0.0013"
        )
        assert first.all_own_usd is None  # it was not measured yet
        shown = json.loads(json.dumps(told.to_dict()))
        assert shown["list_cost_usd"] == "0.0013"
        assert shown["attempts"][0]["fixed"]["marginal_usd_per_mtok"] == "0"
        assert shown["attempts"][0]["list_price"]["usd_per_mtok_in"] == "1"

    run_in_virtual_time(main)


def test_an_attempt_at_an_api_says_what_it_would_have_cost_at_home() -> None:
    """At the average price of the machine that serves the same model; both ways are on the receipt."""

    async def main() -> None:
        async with scripted(POLICY, own=BIG, eu=BIG) as here:
            home = await asked(here, every_s=10, times=12)
            away = await asked(here, every_s=0, times=1, tenant="away")
        assert home.attempts[0].fixed is not None
        average = home.attempts[0].fixed.average_usd_per_mtok
        assert average is not None
        assert served_by(away) == "eu"
        (attempt,) = away.attempts
        assert attempt.fixed is None
        assert attempt.own_cost_usd == away.all_own_usd == round(average / 1_000, 12)
        assert away.all_api_usd == away.cost_usd == Decimal("0.0013")

    run_in_virtual_time(main)


def test_attempts_at_an_api_carry_none_of_it() -> None:
    """What they cost is their price; an attempt that failed at home is told with what is known."""

    async def main() -> None:
        async with scripted(POLICY, own=Reply.status(503), eu=BIG) as here:
            told = await asked(here, every_s=0, times=1)
        own, api = told.attempts
        assert (own.backend, api.backend) == ("own", "eu")
        assert (api.fixed, api.list_price, api.list_cost_usd) == (None, None, None)
        assert own.fixed is not None
        assert (own.list_cost_usd, told.list_cost_usd) == (None, None)
        assert told.cost_usd == Decimal("0.0013")
        assert told.to_dict()["attempts"][1]["fixed"] is None

    run_in_virtual_time(main)


def test_spans_show_the_same_figures() -> None:
    """On the attempt, and their sum on the root."""
    provider, exporter = recording()

    async def main() -> None:
        async with scripted(POLICY, own=BIG, tracer_provider=provider) as here:
            await asked(here, every_s=2, times=1)
            await asked(here, every_s=10, times=12)

    run_in_virtual_time(main)
    attempt, root = (dict(span.attributes or {}) for span in exporter.get_finished_spans()[-2:])
    assert attempt["hybridllm.fixed.utilisation"] == pytest.approx(6_000 / 57 / 200, rel=1e-3)
    assert attempt["hybridllm.fixed.marginal_usd_per_mtok"] == 0.0
    assert attempt["hybridllm.list_cost.amount"] == 0.0013
    assert root["hybridllm.request.list_cost.amount"] == 0.0013


def test_own_machines_go_first_while_they_have_room_and_an_api_takes_the_rest() -> None:
    """200 tokens a second are declared; of 1,000 a second a fifth stays at home, and all when it is quiet."""

    async def main() -> None:
        async with scripted(POLICY, own=BIG, eu=BIG, us=BIG) as here:
            told = await asked(here, every_s=10, times=8, tenant="cheapest")
            assert served_by(told) == "own"
            told = await asked(here, every_s=1, times=20, tenant="cheapest")
            assert served_by(told) == "us"  # 3 USD per million for an answer, of at most 1,024
            explained = here.router.explain(tenant="cheapest", task="t", input_tokens=100)
            assert explained.candidates == ("us/m", "eu/m", "own/m")
            before = here.sent("own")
            await asked(here, every_s=1, times=300, tenant="cheapest")
            assert here.sent("own") - before == pytest.approx(60, abs=3)
            await asyncio.sleep(60)
            assert served_by(await asked(here, every_s=1, times=1, tenant="cheapest")) == "own"

    run_in_virtual_time(main)


def test_what_was_measured_is_kept_over_a_reload_as_long_as_the_backend_is_the_same(
    tmp_path: Path,
) -> None:
    """A new price is a new price for the same use; a new address is another machine."""
    path = tmp_path / "policy.yaml"

    async def main() -> None:
        async with reloading(path, POLICY, {"own": BIG}) as here:

            async def after(content: str) -> FixedCost:
                put(path, content)
                assert await here.router.reload()
                engine = here.router._engine
                found = engine.fleet.uses.price_of(here.router.policy.backends["own"])
                assert found is not None
                return found

            await asked(here, every_s=2, times=1)
            told = (await asked(here, every_s=10, times=12)).attempts[0].fixed
            assert told is not None
            assert told.average_usd_per_mtok is not None
            dearer = await after(POLICY.replace("2629.80", "5259.60"))
            assert dearer.average_usd_per_mtok is not None
            assert float(dearer.average_usd_per_mtok / told.average_usd_per_mtok) == pytest.approx(
                2, rel=0.01
            )
            other = await after(POLICY.replace("own.test", "new.test"))
            assert (other.tokens_per_s, other.utilisation) == (None, None)

    run_in_virtual_time(main)
