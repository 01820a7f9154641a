"""`explain` and tests of a policy say what budgets would make of a request; nothing is reserved by that."""

from __future__ import annotations

import json

import pytest

from hybridllm import InvalidRequest, Router, World
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm.errors import PolicyError
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time
from runtime.world import KEY, MESSAGES

TEXT = """
version: 1
backends:
  eu: {kind: api, base_url: "https://eu.test/v1", api_key_env: KEY}
models:
  dear: {price: {input_per_1m: 1, output_per_1m: 2}, on: {eu: dear}}
  cheap: {price: {input_per_1m: 0.1, output_per_1m: 0.2}, on: {eu: cheap}}
routes:
  - {name: all, use: [dear, cheap]}
budgets:
  - {name: b, scope: all, usd: 10, per: day, at: {50%: {use: [cheap]}, 100%: deny}}
"""
TESTS = """
tests:
  - {given: {max_tokens: 1000}, expect: {model: dear}}
  - {given: {max_tokens: 1000, spent: {b: 5}}, expect: {model: cheap, candidates: [eu/cheap]}}
  - {given: {max_tokens: 1000, spent: {b: 10}}, expect: {error: budget_exceeded}}
"""


def test_a_world_says_what_was_spent() -> None:
    """The plan is what a call would get; an error is what it would raise."""
    router = Router.from_text(TEXT, environ={"KEY": KEY})
    plain = router.explain(max_tokens=1_000_000)
    assert (plain.answer, plain.error) == ("eu/dear", None)
    assert plain.budgets == (
        "budget 'b' (10.00 USD per day): 0.00 USD spent, 0.00 reserved",
        "the request may cost 2.00 USD",
    )
    fewer = router.explain(max_tokens=1_000_000, world=World(spent={"b": 6}))
    assert (fewer.candidates, fewer.answer) == (("eu/cheap",), "eu/cheap")
    assert "reached: 50 % use cheap" in str(fewer)
    none = router.explain(max_tokens=1_000_000, world=World(spent={"b": "9.9"}))
    assert (none.answer, none.error, none.allowed) == (None, "budget_exceeded", True)
    assert "nobody answers (budget_exceeded)" in str(none)
    assert "9.90 are spent" in json.dumps(none.to_dict()["budgets"])
    assert none.to_dict()["world"]["spent"] == {"b": "9.9"}


@pytest.mark.parametrize("spent", [{"a": 1}, {"b": -1}, {"b": "much"}])
def test_a_world_that_cannot_be_is_refused(spent: dict[str, object]) -> None:
    """With the name or the value that is wrong."""
    with pytest.raises(InvalidRequest, match=r"is no budget of the policy|is no amount of USD"):
        Router.from_text(TEXT, environ={"KEY": KEY}).explain(world=World(spent=spent))


def test_a_router_explains_by_what_it_has_spent() -> None:
    """And the explanation reserves nothing."""

    async def main() -> None:
        wire = ScriptedWire({"eu.test": Reply.chat("yes", usage=(0, 3_000_000))})
        async with Router.from_text(
            TEXT, environ={"KEY": KEY}, wire=wire, clock=LoopClock()
        ) as router:
            await router.chat.completions.create(messages=MESSAGES, max_tokens=3_000_000)
            told = router.explain(max_tokens=10)
            assert (told.candidates, told.dropped[0][0]) == (("eu/cheap",), "eu/dear")
            assert "6.00 USD spent, 0.00 reserved" in told.budgets[0]

    run_in_virtual_time(main)


def test_tests_of_a_policy_say_what_was_spent() -> None:
    """As they say what is down."""
    load_policy_text(TEXT + TESTS, name="p", environ={"KEY": KEY})
    with pytest.raises(PolicyError, match="unknown budget 'c'"):
        load_policy_text(TEXT + TESTS.replace("{b: 5}", "{c: 5}"), name="p", environ={"KEY": KEY})
