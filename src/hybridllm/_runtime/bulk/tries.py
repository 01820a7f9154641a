"""One item asked for until it has an answer, an error of its own, or no time left.

What is worth a wait, and how long a one, `_core/bulk/patience.py` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hybridllm._core.bulk.paid import NOTHING_PAID, Paid, paid_of, together
from hybridllm._core.bulk.patience import Waits, may_pass, wait_s
from hybridllm._core.bulk.tally import Tally
from hybridllm._core.receipt import Receipt
from hybridllm._runtime.bulk.ports import Answerer, Prepared
from hybridllm._runtime.ports import Clock
from hybridllm._runtime.receipts import receipt


@dataclass(frozen=True, slots=True)
class Ended:
    """How asking for an item ended."""

    answer: Any
    error: Exception | None
    receipt: Receipt | None
    paid: Paid
    tries: int


async def ask(
    answerer: Answerer,
    prepared: Prepared,
    *,
    clock: Clock,
    draw: Callable[[], float],
    tally: Tally,
) -> Ended:
    """Ask for one item; every error but a cancellation is returned, without frames."""
    until_s = clock.monotonic_s() + prepared.budget_s
    call, paid, tries, waits = prepared.call, NOTHING_PAID, 0, Waits()
    while True:
        tries += 1
        answer, error = None, None
        try:
            answer = await answerer.answer(call)
        except Exception as caught:  # noqa: BLE001 - the border of an item: the others go on
            error = caught.with_traceback(None)  # the frames hold the request
        made = receipt(answer) if error is None else getattr(error, "receipt", None)
        paid = together(paid, paid_of(made))
        if error is None:
            return Ended(answer, None, made, paid, tries)
        waits = waits.after(error)
        if not may_pass(error, waits):
            return Ended(None, error, made, paid, tries)
        waited_s = wait_s(
            waits,
            asked_s=getattr(error, "retry_after_s", None),
            remaining_s=until_s - clock.monotonic_s(),
            jitter=draw(),
        )
        if waited_s is None:
            return Ended(None, error, made, paid, tries)
        del error
        tally.waiting += 1
        try:
            await clock.sleep(waited_s)
        finally:
            tally.waiting -= 1
        left_s = until_s - clock.monotonic_s()
        call = replace(call, hints=replace(call.hints, deadline_s=left_s))
