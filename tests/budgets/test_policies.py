"""What may stand in a policy about budgets, and what `check` says of those that cannot be kept."""

from __future__ import annotations

from decimal import Decimal

import pytest

from hybridllm import Router, receipt
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.policy.budgets import Budget, usd_text
from hybridllm.errors import PolicyDenied, PolicyError
from hybridllm.testing import LoopClock, Reply, ScriptedWire, run_in_virtual_time
from runtime.world import KEY, MESSAGES

BASE = """
version: 1
environment: production
backends:
  api: {{kind: api, base_url: "https://api.test/v1", api_key_env: KEY}}
  own: {{kind: vllm, base_url: "https://own.test/v1", operator: self}}
  lab: {{kind: vllm, base_url: "https://lab.test/v1", environments: [staging]}}
models:
  m: {{price: {{input_per_1m: 1, output_per_1m: 2}}, on: {{api: m, own: m, lab: m}}}}
  n: {{price: {{input_per_1m: 1, output_per_1m: 2}}, on: {{api: n}}}}
tasks: {{t: {{}}}}
routes:
  - {{name: chosen, when: {{task: t}}, use: [n]}}
  - {{name: rest, use: [m]}}
budgets:
  - {{{budget}}}
"""


def told(budget: str) -> list[str]:
    """What is told of a policy with such a budget."""
    try:
        _, problems = load_policy_text(BASE.format(budget=budget), name="p", environ={"KEY": KEY})
    except PolicyError as error:
        problems = error.problems
    return [str(one) for one in problems if "budget" in one.path]


def made(budget: str) -> Budget:
    policy, _ = load_policy_text(BASE.format(budget=budget), name="p", environ={"KEY": KEY})
    return policy.budgets[0]


@pytest.mark.parametrize(
    "budget",
    [
        "scope: all, usd: 5, per: day",
        "scope: {backend: own}, usd: 5, per: day",
        'scope: {tenant: "*"}, usd: 0, per: month',
        "scope: {route: rest}, usd: 5, per: day",
        'scope: {model: "*"}, usd: 5, per: day',
    ],
)
def test_a_budget_over_somebody_without_a_price_is_an_error(budget: str) -> None:
    """At its line, with who it is; who may not be asked in this environment is not meant."""
    (problem,) = told(budget)
    assert problem.startswith("<text>:16:5: budgets[0]: no price is known of own/m, so budget ")
    assert "lab" not in problem
    assert "price: free" in problem


@pytest.mark.parametrize(
    "budget",
    [
        "scope: {backend: api}, usd: 5, per: day",
        "scope: {route: chosen}, usd: 5, per: day",
        'scope: {tenant: "*", model: n}, usd: 5, per: day, at: {80%: warn, 100%: deny}',
    ],
)
def test_a_budget_over_known_prices_is_good(budget: str) -> None:
    """Whoever else the policy has."""
    assert told(budget) == []


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("scope: {route: res}, usd: 5, per: day", "unknown route 'res'"),
        ("scope: {task: u, model: n}, usd: 5, per: day", "unknown task 'u'; known: t"),
        ("scope: {backend: api}, usd: 10M, per: day", "is not an amount of USD"),
        ("scope: {backend: api}, usd: 10000000, per: day", "from 0 to 9,000,000"),
        ("scope: {}, usd: 1, per: day", "names nobody"),
        ("scope: {backend: api}, usd: 1, per: week", "'week'"),
        ("scope: {backend: api}, usd: 1, per: day, at: {1001%: deny}", "to 1000%"),
        ("scope: {backend: api}, usd: 1, per: day, at: {half: deny}", "write 80%"),
    ],
)
def test_what_is_wrong_is_told_with_what_would_be_right(budget: str, message: str) -> None:
    """As of every other key."""
    assert any(message in one for one in told(budget)), told(budget)


def test_a_budget_denies_at_its_whole_unless_something_is_said_of_that() -> None:
    """A warning at 100 % makes one that never denies."""
    scope = "scope: {backend: api}, usd: 5, per: day"
    assert made(scope).deny_pico == 5 * 10**12
    assert made(f"{scope}, at: {{80%: warn}}").deny_pico == 5 * 10**12
    assert made(f"{scope}, at: {{120%: deny, 50%: warn}}").deny_pico == 6 * 10**12
    assert made(f"{scope}, at: {{100%: warn}}").deny_pico is None
    assert [step.percent for step in made(f"{scope}, at: {{120%: deny, 50%: warn}}").steps] == [
        Decimal(50),
        Decimal(120),
    ]


def test_its_name_says_whose_it_is_and_not_how_much() -> None:
    """So that a limit can be raised in the middle of a month."""
    assert made('scope: {model: n, tenant: "*"}, usd: 5, per: day').name == (
        "tenant *, model n per day"
    )


def test_whose_price_is_not_known_any_more_is_not_asked_under_a_budget() -> None:
    """A price that begins later: the policy loads, and until then the other one is asked, or nobody."""
    later = BASE.format(budget="scope: all, usd: 5, per: day").replace(
        "own: {", "own: {price: [{from: 2099-01-01, input_per_1m: 1, output_per_1m: 1}], "
    )

    async def main() -> None:
        wire = ScriptedWire({"api.test": Reply.chat("yes"), "own.test": Reply.chat("no")})
        router = Router.from_text(later, environ={"KEY": KEY}, wire=wire, clock=LoopClock())
        async with router:
            told_of = receipt(await router.chat.completions.create(messages=MESSAGES, max_tokens=9))
            assert told_of.candidates == ("api/m",)
            ((who, why),) = [one for one in told_of.dropped if one[0] == "own/m"]
            assert (who, why[:22]) == ("own/m", "no price is known, so ")
            only = later.replace("on: {api: m, own: m, lab: m}", "on: {own: m}")
            assert only != later
        async with Router.from_text(
            only, environ={"KEY": KEY}, wire=wire, clock=LoopClock()
        ) as router:
            with pytest.raises(PolicyDenied, match="no price is known"):
                await router.chat.completions.create(messages=MESSAGES, max_tokens=9)

    run_in_virtual_time(main)


def test_sums_are_shown_to_the_cent_and_exactly_where_they_are_smaller() -> None:
    """Of 10^-12 USD."""
    assert [usd_text(one) for one in (0, 5 * 10**12, 1_500_000_000_000, 1_000_000)] == [
        "0.00",
        "5.00",
        "1.50",
        "0.000001",
    ]
