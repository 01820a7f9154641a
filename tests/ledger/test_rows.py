"""What a router's requests leave in its ledger: the same that stands on their receipts."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from hybridllm import PolicyDenied, Receipt, RouteExhausted, Router, context, receipt
from hybridllm._core.money.pico import usd_of
from hybridllm.testing import Reply, run_in_virtual_time
from ledger.routers import GOOD, POLICY, asked, attempts, requests, routing


def test_an_answer_leaves_a_row_of_its_attempt_and_one_of_its_request(tmp_path: Path) -> None:
    """With whom it was for, what it used, and what it cost, as on the receipt."""
    place = tmp_path / "ledger.db"

    async def main() -> Receipt:
        async with routing(place) as router:
            hints = {"tenant": "acme", "feature": "chat", "user_id": "u-1", "session": "s-1"}
            metadata = {"team": "blue", "secret": "not declared"}
            with context(metadata=metadata):
                return await asked(router, task="classify", residency="eu", **hints)

    got = run_in_virtual_time(main())
    (attempt,), (request,) = attempts(place), requests(place)
    served = got.attempts[0]
    assert attempt.attempt_id == f"{got.request_id}-1"
    assert attempt[4:11] == ("near", "eu", "m", "m-near", served.model_served, "primary", "served")
    assert (attempt.input_tokens, attempt.output_tokens) == (10, 5)
    assert attempt.usage_source == "provider"
    assert got.cost_usd == usd_of(attempt.cost_pico or 0) == Decimal("0.00002")
    assert attempt.started_us == round(served.started_at.timestamp() * 1e6)
    assert (attempt.tenant, attempt.feature, attempt.user_id) == ("acme", "chat", "u-1")
    assert json.loads(attempt.keys or "") == json.loads(request.keys or "") == {"team": "blue"}
    assert got.keys == (("team", "blue"),)
    assert request.outcome == "ok"
    assert request.cost_pico == attempt.cost_pico
    assert (request.residency, request.residency_given) == ("eu", "eu")
    assert (request.served_backend, request.candidates) == ("near", "near/m")
    assert (request.environment, request.policy_version) == ("production", got.policy_version)
    assert "Is it?" not in place.read_bytes().decode("utf-8", "replace")


def test_every_attempt_of_a_request_has_a_row(tmp_path: Path) -> None:
    """A failed one costs what is known of it, under the request that caused it."""
    place = tmp_path / "ledger.db"

    async def main() -> Receipt:
        async with routing(place, **{"near.test": Reply.status(503)}) as router:
            return await asked(router)

    got = run_in_virtual_time(main())
    rows = attempts(place)
    assert [(row.backend, row.outcome, row.reason) for row in rows] == [
        (one.backend, one.outcome.value, one.reason.value) for one in got.attempts
    ]
    assert {row.request_id for row in rows} == {got.request_id}
    assert rows[-1].outcome == "served"
    assert requests(place)[0].attempts == len(got.attempts) == len(rows) > 1


def test_requests_without_an_answer_are_rows_too(tmp_path: Path) -> None:
    """Denied, failed and cancelled ones."""
    place = tmp_path / "ledger.db"

    async def main() -> None:
        scripts = {"near.test": Reply.status(500), "far.test": Reply.hang()}
        async with routing(place, **scripts) as router:
            with pytest.raises(PolicyDenied):
                await asked(router, residency="nowhere")
            with pytest.raises(RouteExhausted):
                await asked(router, residency="eu")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asked(router), 5)  # noqa: TID251 - as applications do

    run_in_virtual_time(main())
    found = {row.outcome: row for row in requests(place)}
    assert set(found) == {"denied", "error", "cancelled"}
    assert (found["denied"].attempts, found["denied"].cost_pico) == (0, 0)
    last = [row for row in attempts(place) if row.request_id == found["cancelled"].request_id][-1]
    assert (last.backend, last.outcome) == ("far", "cancelled")


def test_a_stream_is_written_when_it_ends(tmp_path: Path) -> None:
    """Its attempt has the time of the first token."""
    place = tmp_path / "ledger.db"

    async def main() -> Receipt:
        reply = Reply.chat_stream(["y", "es"], usage=(10, 2))
        async with routing(place, **{"near.test": reply}) as router:
            stream = await router.chat.completions.create(
                messages=[{"role": "user", "content": "Is it?"}], stream=True
            )
            async for _ in stream:
                pass
            return receipt(stream)

    got = run_in_virtual_time(main())
    (attempt,), (request,) = attempts(place), requests(place)
    assert (request.stream, request.outcome, attempt.outcome) == (1, "ok", "served")
    assert attempt.first_token_us is not None
    assert request.cost_pico == attempt.cost_pico
    assert usd_of(request.cost_pico or 0) == got.cost_usd


def test_a_router_without_a_ledger_writes_nothing(tmp_path: Path) -> None:
    """And one that was never used makes no file."""

    async def main() -> None:
        async with routing(None) as router:
            await asked(router)
        Router.from_text(POLICY, environ={}, ledger=tmp_path / "ledger.db")

    run_in_virtual_time(main())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_beside_the_database(tmp_path: Path) -> None:
    """What the journal held is in the database when the router is closed."""
    place = tmp_path / "ledger.db"

    async def main() -> None:
        async with routing(place, **{"near.test": GOOD}) as router:
            for _ in range(50):
                await asked(router)
            status = router.status().ledger
            assert status is not None
            assert status.errors == 0

    run_in_virtual_time(main())
    assert len(requests(place)) == len(attempts(place)) == 50
    assert list((tmp_path / "ledger.db.pending").iterdir()) == []


def test_what_a_backend_calls_its_model_is_a_name_or_not_written_down(tmp_path: Path) -> None:
    """It may repeat the prompt there, at any length."""
    place = tmp_path / "ledger.db"
    odd = json.loads(Reply.chat("yes", usage=(10, 5)).chunks[0])
    odd |= {"model": "Is it? " * 100, "service_tier": "Is it? " * 100}

    async def main() -> None:
        async with routing(place, **{"near.test": Reply.json(odd)}) as router:
            await asked(router)

    run_in_virtual_time(main)
    (row,) = attempts(place)
    assert (row.model_served, row.service_tier, row.model_asked) == (None, None, "m-near")
    assert "Is it?" not in place.read_bytes().decode("utf-8", "replace")
