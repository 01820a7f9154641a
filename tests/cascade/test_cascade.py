"""A cheap answer, checked, and a better model where it does not pass. Through a router, in virtual time."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from cascade.worlds import BETTER, SURE, UNSURE, cascade, said, scored
from hybridllm import PolicyDenied, RouteExhausted, receipt
from hybridllm._core.receipt import AttemptOutcome, AttemptReason, RequestOutcome
from hybridllm.testing import Reply, run_in_virtual_time

SERVED, ESCALATED = AttemptOutcome.SERVED, AttemptOutcome.ESCALATED
FAILED, CANCELLED = AttemptOutcome.FAILED, AttemptOutcome.CANCELLED
SMALL_USD = Decimal("0.00002")  # 10 + 5 tokens
BIG_USD = Decimal("0.0002")


def ends(answer: Any) -> list[tuple[str, str, AttemptOutcome]]:
    """(model, reason, outcome) of every attempt."""
    return [(one.model, one.reason.value, one.outcome) for one in receipt(answer).attempts]


def test_an_answer_that_passes_is_all_there_is() -> None:
    """Nobody else is asked, and what the better model would have cost is saved."""

    async def main() -> None:
        async with cascade(a=Reply.chat(SURE), b=Reply.chat(BETTER)) as here:
            answer = await here.chat()
            assert said(answer) == SURE
            told = receipt(answer)
            assert ends(answer) == [("small", "primary", SERVED)]
            assert (told.escalated, told.not_escalated) == (None, None)
            assert told.cost_usd == SMALL_USD
            assert told.cascade_saved_usd == BIG_USD - SMALL_USD
            assert here.sent("b") == 0

    run_in_virtual_time(main)


def test_an_answer_that_does_not_pass_is_followed_by_a_better_one() -> None:
    """Both attempts are on the receipt and paid for; the caller gets the second."""

    async def main() -> None:
        async with cascade(a=Reply.chat(UNSURE), b=Reply.chat(BETTER)) as here:
            answer = await here.chat()
            assert said(answer) == BETTER
            told = receipt(answer)
            assert ends(answer) == [("small", "primary", ESCALATED), ("big", "escalation", SERVED)]
            assert told.escalated == 'it says "i\'m not sure"'
            assert told.cost_usd == SMALL_USD + BIG_USD
            assert told.cost_wasted_usd == SMALL_USD
            assert told.cascade_saved_usd == -SMALL_USD
            assert told.served is not None
            assert told.served.model == "big"
            assert told.candidates == ("a/small", "b/big", "c/third")
            assert "escalated: it says" in str(told)

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("better", "words"),
    [
        pytest.param(
            Reply.status(503), "'big' did not answer: b (503), b (503), b (503)", id="fails"
        ),
        pytest.param(Reply.status(400), "'big' did not answer: b (400)", id="refuses"),
        pytest.param(Reply.hang(), "'big' did not answer: b (attempt_timeout)", id="hangs"),
    ],
)
def test_if_the_better_model_fails_the_caller_gets_the_first_answer(
    better: Reply, words: str
) -> None:
    """Marked, with both reasons; nobody but the cascade's own model is asked, and the deadline holds."""

    async def main() -> None:
        async with cascade(a=Reply.chat(UNSURE), b=better, c=Reply.chat("third")) as here:
            began_s = asyncio.get_running_loop().time()
            answer = await here.chat(deadline_s=5)
            assert asyncio.get_running_loop().time() - began_s <= 5.05
            assert said(answer) == UNSURE
            told = receipt(answer)
            assert told.outcome is RequestOutcome.OK
            assert told.escalated is None
            assert told.not_escalated == f'it says "i\'m not sure"; {words}'
            assert told.served is not None
            assert told.served.model == "small"
            assert told.cost_usd == SMALL_USD
            assert told.cost_wasted_usd == 0
            assert told.cascade_saved_usd is None
            assert here.sent("c") == 0

    run_in_virtual_time(main)


def test_better_backends_fail_over_among_each_other() -> None:
    """The first of them is an escalation, the next a failover, as for any request."""

    async def main() -> None:
        policy = {"thens": "bd"}
        async with cascade(
            policy=policy, a=Reply.chat(UNSURE), b=Reply.status(503), d=Reply.chat(BETTER)
        ) as here:
            answer = await here.chat()
            assert said(answer) == BETTER
            assert ends(answer) == [
                ("small", "primary", ESCALATED),
                ("big", "escalation", FAILED),
                ("big", "failover", SERVED),
            ]
            assert receipt(answer).escalated is not None

    run_in_virtual_time(main)


def test_a_first_model_that_fails_over_is_checked_all_the_same() -> None:
    """Its second backend's answer is an answer of the first model."""

    async def main() -> None:
        policy = {"firsts": "ad"}
        replies = {"a": Reply.status(503), "d": Reply.chat(UNSURE), "b": Reply.chat(BETTER)}
        async with cascade(policy=policy, **replies) as here:
            answer = await here.chat()
            assert ends(answer) == [
                ("small", "primary", FAILED),
                ("small", "failover", ESCALATED),
                ("big", "escalation", SERVED),
            ]

    run_in_virtual_time(main)


def test_a_first_model_that_fails_altogether_is_plain_fallback() -> None:
    """Then the better model is asked because the first failed; its answer is checked by nobody."""

    async def main() -> None:
        async with cascade(a=Reply.status(503), b=Reply.chat(UNSURE)) as here:
            answer = await here.chat()
            assert said(answer) == UNSURE
            assert [one.reason for one in receipt(answer).attempts] == [
                AttemptReason.PRIMARY,
                AttemptReason.FALLBACK,
            ]
            told = receipt(answer)
            assert (told.escalated, told.not_escalated, told.cascade_saved_usd) == (None,) * 3
            assert here.router.status().cascades[0].checked == 0

    run_in_virtual_time(main)


def test_with_everybody_down_the_error_is_that_of_any_request() -> None:
    """A cascade changes nothing about it."""

    async def main() -> None:
        bad = Reply.status(503)
        async with cascade(a=bad, b=bad, c=bad) as here:
            with pytest.raises(RouteExhausted):
                await here.chat()

    run_in_virtual_time(main)


def test_there_is_no_escalation_without_money_for_it() -> None:
    """`max_cost_usd` holds for both answers together; each alone would be below it."""

    async def main() -> None:
        async with cascade(a=Reply.chat(UNSURE, usage=(10, 900)), b=Reply.chat(BETTER)) as here:
            cheap = await here.chat(max_cost_usd="0.003", max_tokens=100)
            assert said(cheap) == UNSURE
            told = receipt(cheap)
            assert told.not_escalated is not None
            assert told.not_escalated.endswith("may cost more than max_cost_usd, 0.003")
            assert ends(cheap) == [("small", "primary", ESCALATED)]
            assert told.cost_wasted_usd == 0
            dear = await here.chat(max_cost_usd="0.01", max_tokens=100)
            assert said(dear) == BETTER

    run_in_virtual_time(main)


def test_there_is_no_escalation_without_time_for_it() -> None:
    """An answer in hand is worth more than a better one that comes too late."""

    async def main() -> None:
        policy = {"task": ", timeouts: {attempt: 10s}"}
        replies = {"a": Reply.chat(UNSURE).after(0.98), "b": Reply.chat(BETTER)}
        async with cascade(policy=policy, **replies) as here:
            answer = await here.chat(deadline_s=1)
            assert said(answer) == UNSURE
            assert receipt(answer).not_escalated is not None
            assert here.sent("b") == 0

    run_in_virtual_time(main)


def test_attempts_of_both_models_count_together() -> None:
    """`attempts_max` is of the request."""

    async def main() -> None:
        policy = {"thens": "bde", "top": "retries: {attempts_max: 2}"}
        bad = Reply.status(503)
        async with cascade(policy=policy, a=Reply.chat(UNSURE), b=bad, d=bad, e=bad) as here:
            answer = await here.chat()
            assert said(answer) == UNSURE
            assert len(receipt(answer).attempts) == 2
        policy = {"top": "retries: {attempts_max: 1}"}
        async with cascade(policy=policy, a=Reply.chat(UNSURE), b=Reply.chat(BETTER)) as here:
            answer = await here.chat()
            assert "retries.attempts_max" in str(receipt(answer).not_escalated)
            assert here.sent("b") == 0

    run_in_virtual_time(main)


def test_a_tag_that_takes_the_better_model_out_ends_the_cascade() -> None:
    """The frozen set is what it is: the first answer is not even checked."""

    async def main() -> None:
        policy = {
            "top": "residency: {only_a: {regions: [a]}, only_b: {regions: [b]}, none: {regions: [x]}}"
        }
        async with cascade(policy=policy, a=Reply.chat(UNSURE), b=Reply.chat(UNSURE)) as here:
            answer = await here.chat(residency="only_a")
            assert ends(answer) == [("small", "primary", SERVED)]
            assert here.sent("b") == 0
            answer = await here.chat(residency="only_b")
            assert ends(answer)[0][0] == "big"
            assert here.sent("a") == 1
            with pytest.raises(PolicyDenied):
                await here.chat(residency="none")

    run_in_virtual_time(main)


def test_a_pinned_model_is_not_checked() -> None:
    """A pin passes routes by, and what they say of cascades."""

    async def main() -> None:
        async with cascade(a=Reply.chat(UNSURE), b=Reply.chat(BETTER)) as here:
            assert said(await here.chat(model="small")) == UNSURE

    run_in_virtual_time(main)


@pytest.mark.parametrize("late_s", [0.5, 1.5], ids=["in-the-first", "in-the-second"])
def test_a_caller_that_leaves_leaves_nothing(late_s: float) -> None:
    """Whichever model was working; what was paid stands on the receipt of the ledger."""

    async def main() -> None:
        replies = {"a": Reply.chat(UNSURE).after(1), "b": Reply.chat(BETTER).after(1)}
        async with cascade(**replies) as here:
            task = asyncio.get_running_loop().create_task(here.chat())
            await asyncio.sleep(late_s)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert here.idle

    run_in_virtual_time(main)


def test_log_probabilities_are_asked_for_and_taken_out_again() -> None:
    """Of the first model only; a caller who asked for them keeps them."""

    async def main() -> None:
        replies = {"a": scored("maybe so", -3.0, -2.0), "b": Reply.chat(BETTER)}
        async with cascade("{low_logprob: -1.5}", **replies) as here:
            answer = await here.chat()
            assert said(answer) == BETTER
            first, second = (sent.json for sent in here.wire.requests)
            assert first["logprobs"] is True
            assert "logprobs" not in second
            assert receipt(answer).escalated == (
                "its mean log-probability is -2.50, low_logprob is -1.5"
            )
        async with cascade("{low_logprob: -1.5}", a=scored("surely", -0.1)) as here:
            assert (await here.chat()).choices[0].logprobs is None
            assert (await here.chat(logprobs=True)).choices[0].logprobs is not None
        policy = {"more": "", "firsts": "a"}
        async with cascade("{low_logprob: -1.5}", policy=policy, a=Reply.chat("no word")) as here:
            assert said(await here.chat()) == "no word"

    run_in_virtual_time(main)


def test_json_that_does_not_fit_its_schema_escalates() -> None:
    """Judged by the schema that the caller sent."""

    async def main() -> None:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
        replies = {"a": Reply.chat('{"n": "three"}'), "b": Reply.chat('{"n": 3}')}
        async with cascade("{schema_invalid: true, min_chars: 50}", **replies) as here:
            answer = await here.chat(response_format=asked)
            assert said(answer) == '{"n": 3}'
            assert receipt(answer).escalated == "it does not fit its schema (type)"

    run_in_virtual_time(main)


def test_status_counts_escalations_and_what_was_saved() -> None:
    """Per route; the saving counts both attempts, and a first answer that stayed counts as neither."""

    async def main() -> None:
        unsure = Reply.chat(UNSURE)
        replies = {
            "a": [Reply.chat(SURE), unsure, Reply.chat(SURE), unsure],
            "b": [Reply.chat(BETTER), Reply.status(400)],
        }
        async with cascade(**replies) as here:
            before = here.router.status().cascades[0]
            assert (before.checked, before.escalation_rate) == (0, None)
            for _ in range(4):
                await here.chat()
            row = here.router.status().cascades[0]
            assert (row.route, row.first, row.then) == ("all", "small", "big")
            assert (row.checked, row.escalated, row.not_escalated) == (4, 1, 1)
            assert row.escalation_rate == 0.25
            assert row.cost_usd == 4 * SMALL_USD + BIG_USD
            assert row.saved_usd == 2 * (BIG_USD - SMALL_USD) - SMALL_USD
            assert row.saved_unknown == 1
            assert "1 of 4 answers escalated (25.0%)" in str(here.router.status())
            assert here.router.status().to_dict()["cascades"][0]["escalation_rate"] == 0.25

    run_in_virtual_time(main)


def test_a_hedge_of_the_first_model_and_one_of_the_better_go_together() -> None:
    """Each model may have its own race; whoever wins it is checked, or answers."""

    async def main() -> None:
        policy = {"firsts": "ad", "thens": "be", "task": ", hedge: {after: 100ms}"}
        good = [Reply.chat(SURE)] * 60  # of which a twentieth may be hedged
        replies = {
            "a": [*good, Reply.hang()],
            "d": Reply.chat(UNSURE),
            "b": Reply.hang(),
            "e": Reply.chat(BETTER),
        }
        async with cascade(policy=policy, **replies) as here:
            for _ in good:
                await here.chat()
            answer = await here.chat(deadline_s=8)
            assert said(answer) == BETTER
            assert [(one.backend, one.outcome) for one in receipt(answer).attempts] == [
                ("a", AttemptOutcome.LOST_HEDGE),
                ("d", ESCALATED),
                ("b", AttemptOutcome.LOST_HEDGE),
                ("e", SERVED),
            ]

    run_in_virtual_time(main)
