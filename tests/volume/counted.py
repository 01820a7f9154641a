"""Receipts and policies for tests of volumes; a file that is a dict; a wall clock that can be set."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hybridllm import Policy
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.money.usage import Usage
from hybridllm._core.receipt import (
    Attempt,
    AttemptOutcome,
    AttemptReason,
    Receipt,
    RequestOutcome,
)
from hybridllm._core.volume.days import NOTHING, Amounts
from hybridllm._core.volume.stored import DayKey, GateKey, Stored, StoredState, Wanted
from hybridllm._runtime.volume_book import VolumeStoreError
from hybridllm.testing import LoopClock

AT = datetime(2026, 1, 1, tzinfo=UTC)
TODAY = AT.toordinal()
BACKENDS = """
version: 1
backends:
  api: {kind: api, base_url: "https://api.test/v1", region: eu}
  own: {kind: vllm, base_url: "https://own.test/v1", region: eu, CAPACITY}
models:
  m: {price: {input_per_1m: 1, output_per_1m: 2}, on: {api: m, own: m}}
  n: {price: {input_per_1m: 1, output_per_1m: 2}, on: {api: n}}
"""


def text(*whens: str, capacity: str = "price: free", more: str = "") -> str:
    """A policy with a route to `own` for each of the conditions, in their order, and one to `api`."""
    routes = "".join(
        f"  - {{name: heavy-{number}, when: {{{when}}}, use: [{{model: m, on: [own, api]}}]{more}}}\n"
        for number, when in enumerate(whens)
    )
    rest = f"  - {{name: rest, use: [{{model: m, on: [api, own]}}]{more}}}\n"
    return BACKENDS.replace("CAPACITY", capacity) + "routes:\n" + routes + rest


def policy(*whens: str, **options: str) -> Policy:
    """The same, loaded."""
    return load_policy_text(text(*whens, **options), name="test", environ={})[0]


def attempt(
    tokens: tuple[int, int] | None = (0, 0),
    *,
    backend: str = "api",
    model: str = "m",
    cached: int | None = None,
    usd: str | None = None,
    served: bool = True,
) -> Attempt:
    """One attempt; `tokens` None: nobody knows."""
    return Attempt(
        number=1,
        backend=backend,
        region=None,
        model=model,
        model_asked=model,
        model_served=None,
        reason=AttemptReason.PRIMARY,
        outcome=AttemptOutcome.SERVED if served else AttemptOutcome.FAILED,
        error=None if served else "503",
        status_code=200,
        started_at=AT,
        duration_s=1.0,
        first_token_s=None,
        usage=None if tokens is None else Usage(*tokens, cached_input_tokens=cached),
        price=None,
        cost_usd=None if usd is None else Decimal(usd),
        maybe_billed=True,
    )


def receipt(*attempts: Attempt, **fields: Any) -> Receipt:
    """A request that took these attempts."""
    return Receipt(
        request_id="0" * 32,
        policy="test",
        policy_version="",
        route=fields.get("route", "rest"),
        operation="chat",
        task=fields.get("task"),
        residency=None,
        tenant=fields.get("tenant"),
        feature=None,
        session=None,
        stream=False,
        candidates=(),
        reasons=(),
        dropped=(),
        attempts=attempts,
        outcome=RequestOutcome.OK,
        error=None,
        started_at=AT,
        duration_s=1.0,
        first_token_s=None,
        cost_usd=None,
        cost_wasted_usd=Decimal(0),
        cost_complete=True,
    )


def used(tokens: int, **fields: Any) -> Receipt:
    """A request of so many tokens."""
    return receipt(attempt((tokens, 0)), **fields)


class DictStore:
    """What a file does, without one; `why` says why it fails, while it does."""

    def __init__(self) -> None:
        self.days: dict[DayKey, Amounts] = {}
        self.states: dict[GateKey, StoredState] = {}
        self.why = ""

    def read(self, wanted: Wanted) -> Stored:
        if self.why:
            raise VolumeStoreError(self.why)
        latest: dict[str, int] = {}
        for scope, day in self.days:
            latest[scope] = max(day, latest.get(scope, 0))
        whole = set(wanted.whole)
        for kind in wanted.kinds:
            names = [scope for scope in latest if scope.startswith(f"{kind}:")]
            whole |= set(sorted(names, key=lambda one: -latest[one])[: wanted.names_max])
        days = {
            key: amounts
            for key, amounts in self.days.items()
            if key[0] in whole or (key[0] in wanted.latest and key[1] >= wanted.from_day)
        }
        return Stored(
            days, {key: one for key, one in self.states.items() if key[0] in wanted.digests}
        )

    def exchange(self, stored: Stored, wanted: Wanted) -> Stored:
        if self.why:
            raise VolumeStoreError(self.why)
        for key, amounts in stored.days.items():
            self.days[key] = self.days.get(key, NOTHING).plus(amounts)
        self.states |= stored.states
        return self.read(wanted)

    def tokens_of(self, day: int, scope: str = "all") -> int:
        return self.days.get((scope, day), NOTHING).tokens_in


class SetClock(LoopClock):
    """A clock whose date and time can be set; durations never notice."""

    def __init__(self) -> None:
        super().__init__(utc=AT)
        self.ahead = timedelta()

    def utc_now(self) -> datetime:
        return super().utc_now() + self.ahead


def day(number: int) -> date:
    """The day so many days after the first."""
    return date.fromordinal(TODAY + number)
