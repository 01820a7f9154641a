"""What a policy says about load: slots, health pages, hedges, priorities, the retry budget."""

from __future__ import annotations

import pytest

from hybridllm._core.policy.objectives import Hedge
from hybridllm._core.resilience.budget import BudgetConfig
from hybridllm._core.resilience.limit import Concurrency
from policy.policy_text import GOOD, changed, load, place_of_mark, problems_of

BACKEND = "price: free"
LIMIT_WORDS = (
    "is not a limit; write auto, a number from 1 to 100,000, or {start: 32, min: 4, max: 256}"
)
PATH_WORDS = "is not a path; write /health, /v1/models, or off"
HEDGE_WORDS = "is no time to hedge after; write p95 (of p50, p90, p95, p99) or 800ms"


def on_task(fields: str) -> str:
    """The good policy with these fields of its task."""
    return changed("classify: {bucket", f"classify: {{{fields}, bucket")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("price: free", None),
        ("concurrency: auto", Concurrency(32, 4, 1_024)),
        ("concurrency: 64", Concurrency(64, 64, 64)),
        ("concurrency: 1", Concurrency(1, 1, 1)),
        ("concurrency: 100000", Concurrency(100_000, 100_000, 100_000)),
        ("concurrency: {}", Concurrency(32, 4, 1_024)),
        ("concurrency: {start: 8, min: 2, max: 16}", Concurrency(8, 2, 16)),
        ("concurrency: {max: 16}", Concurrency(16, 4, 16)),
        ("concurrency: {min: 40}", Concurrency(40, 40, 1_024)),
        ("concurrency: {start: 500, max: 64}", Concurrency(64, 4, 64)),
        ("concurrency: {min: 8, max: 8}", Concurrency(8, 8, 8)),
    ],
)
def test_how_many_requests_a_backend_may_have(fields: str, expected: Concurrency | None) -> None:
    """No limit unless there is one; a start is brought within it; one number is fixed."""
    found = load(changed(BACKEND, fields)).backends["own-eu"].concurrency
    assert found == expected
    assert found is None or found.fixed is (found.floor == found.ceiling)


@pytest.mark.parametrize(
    ("backend", "fields", "expected"),
    [
        pytest.param("own-eu", "price: free", "https://vllm.internal/health", id="vllm"),
        pytest.param("hosted-eu", "price: free", "https://eu.example.com/v1/models", id="api"),
        pytest.param("own-eu", "health: /ready", "https://vllm.internal/ready", id="a-path"),
        pytest.param("own-eu", "health: /v1/models", "https://vllm.internal/v1/models", id="long"),
        pytest.param("own-eu", "health: off", None, id="off"),
        pytest.param("own-eu", "health: //other.example/x", "https://vllm.internal//other.example/x",
                     id="never-another-host"),
    ],
)  # fmt: skip
def test_which_page_is_looked_at(backend: str, fields: str, expected: str | None) -> None:
    """By kind, unless the policy says otherwise; always on the backend's own host."""
    assert load(changed(BACKEND, fields)).backends[backend].health_url == expected


def test_a_vllm_below_another_path_keeps_it() -> None:
    """A gateway in front of it may have put it there."""
    text = changed("https://vllm.internal/v1", "https://gateway.internal/llm/v1")
    assert load(text).backends["own-eu"].health_url == "https://gateway.internal/llm/health"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("residency: eu", None),
        ("hedge: {}", Hedge(95, 0.0, None)),
        ("hedge: {after: p50}", Hedge(50)),
        ("hedge: {after: p90}", Hedge(90)),
        ("hedge: {after: p95}", Hedge(95)),
        ("hedge: {after: p99}", Hedge(99)),
        ("hedge: {after: 800ms}", Hedge(None, 0.8)),
        ("hedge: {after: 10ms}", Hedge(None, 0.01)),
        ("hedge: {after: 10m}", Hedge(None, 600.0)),
        ("hedge: {after: 2s, prompt_tokens_max: 8K}", Hedge(None, 2.0, 8_192)),
        ("hedge: {prompt_tokens_max: 500}", Hedge(95, 0.0, 500)),
    ],
)
def test_when_a_task_is_hedged(fields: str, expected: Hedge | None) -> None:
    """Never, unless it says so."""
    assert load(on_task(fields)).tasks["classify"].hedge == expected


@pytest.mark.parametrize("priority", ["interactive", "batch", "background"])
def test_the_priority_of_a_task(priority: str) -> None:
    """It has none unless it says so."""
    assert load(on_task(f"priority: {priority}")).tasks["classify"].priority == priority
    assert load(GOOD).tasks["classify"].priority is None


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ("{}", BudgetConfig(0.2, 1.0, 50.0)),
        ("{ratio: 0.3, reserve_per_s: 5, reserve_max: 10}", BudgetConfig(0.3, 5.0, 10.0)),
        ("{ratio: 0, reserve_per_s: 0, reserve_max: 0}", BudgetConfig(0.0, 0.0, 0.0)),
        ("{ratio: 1}", BudgetConfig(1.0, 1.0, 50.0)),
        ("{reserve_per_s: 0.5}", BudgetConfig(0.2, 0.5, 50.0)),
    ],
)
def test_the_retry_budget(budget: str, expected: BudgetConfig) -> None:
    text = changed("tasks:\n", f"retries: {{budget: {budget}}}\ntasks:\n")
    assert load(text).budget == expected
    assert load(GOOD).budget == BudgetConfig()


BAD_BACKEND = [
    ("concurrency: «0", "concurrency", f"0 {LIMIT_WORDS}"),
    ("concurrency: «100001", "concurrency", f"100001 {LIMIT_WORDS}"),
    ("concurrency: «-1", "concurrency", f"-1 {LIMIT_WORDS}"),
    ("concurrency: «true", "concurrency", f"true {LIMIT_WORDS}"),
    ("concurrency: «1.5", "concurrency", f"1.5 {LIMIT_WORDS}"),
    ("concurrency: «many", "concurrency", f"'many' {LIMIT_WORDS}"),
    ("concurrency: «[8]", "concurrency", f"a list {LIMIT_WORDS}"),
    ("concurrency: {min: 10, max: «9}", "concurrency.max", "9 is below min, 10"),
    ("concurrency: {max: «3}", "concurrency.max", "3 is below min, 4"),
    ("concurrency: {«strat: 5}", "concurrency.strat", "did you mean 'start'?"),
    ("concurrency: {start: «none}", "concurrency.start", "'none' is not a whole number"),
    ("concurrency: {min: «0}", "concurrency.min", "0 is out of range: from 1 to 100,000"),
    ("«concurrency:", "concurrency", "'concurrency' has no value"),
    ("health: «health", "health", f"'health' {PATH_WORDS}"),
    ("health: «https://x.example/y", "health", PATH_WORDS),
    ("health: «/a b", "health", f"'/a b' {PATH_WORDS}"),
    ("health: «/a?b=1", "health", PATH_WORDS),
    ("health: «true", "health", f"true {PATH_WORDS}"),
    ("health: «5", "health", f"5 {PATH_WORDS}"),
    ("«health:", "health", "'health' has no value"),
]


@pytest.mark.parametrize(("fields", "path", "message"), BAD_BACKEND)
def test_what_is_wrong_of_a_backend_is_told_at_its_place(
    fields: str, path: str, message: str
) -> None:
    """The value, what is allowed, the line and the column."""
    told_at(changed(BACKEND, fields), f"backends.own-eu.{path}", message)


BAD_TASK = [
    ("hedge: {after: «p94}", "hedge.after", f"'p94' {HEDGE_WORDS}"),
    ("hedge: {after: «9ms}", "hedge.after", f"'9ms' {HEDGE_WORDS}"),
    ("hedge: {after: «11m}", "hedge.after", f"'11m' {HEDGE_WORDS}"),
    ("hedge: {after: «2}", "hedge.after", f"2 {HEDGE_WORDS}"),
    ("hedge: {after: «95}", "hedge.after", f"95 {HEDGE_WORDS}"),
    ("hedge: {after: «[p95]}", "hedge.after", HEDGE_WORDS),
    ("hedge: {«aftre: p95}", "hedge.aftre", "did you mean 'after'?"),
    ("hedge: {prompt_tokens_max: «some}", "hedge.prompt_tokens_max", "'some'"),
    ("hedge: «p95", "hedge", "'p95' must be a mapping with the keys after, prompt_tokens_max"),
    ("priority: «urgent", "priority", "allowed: interactive, batch, background"),
    ("priority: «1", "priority", "1 is not allowed here"),
]


@pytest.mark.parametrize(("fields", "path", "message"), BAD_TASK)
def test_what_is_wrong_of_a_task_is_told_at_its_place(fields: str, path: str, message: str) -> None:
    told_at(on_task(fields), f"tasks.classify.{path}", message)


BAD_BUDGET = [
    ("{ratio: «1.1}", "ratio", "1.1 is out of range: from 0 to 1"),
    ("{ratio: «-0.1}", "ratio", "-0.1 is out of range: from 0 to 1"),
    ("{ratio: «20%}", "ratio", "'20%' is not a number"),
    ("{ratio: «.nan}", "ratio", "is not a finite number"),
    ("{reserve_per_s: «-1}", "reserve_per_s", "-1 is out of range: from 0 to 100,000"),
    ("{reserve_max: «100001}", "reserve_max", "100001 is out of range: from 0 to 100,000"),
    ("{reserve_max: «.inf}", "reserve_max", "'.inf' is not a finite number"),
    ("{«reserve: 1}", "reserve", "did you mean 'reserve_max'?"),
]


@pytest.mark.parametrize(("budget", "path", "message"), BAD_BUDGET)
def test_what_is_wrong_of_the_budget_is_told_at_its_place(
    budget: str, path: str, message: str
) -> None:
    text = changed("tasks:\n", f"retries: {{budget: {budget}}}\ntasks:\n")
    told_at(text, f"retries.budget.{path}", message)


def told_at(text: str, path: str, message: str) -> None:
    """One problem, with its place and its words."""
    text, place = place_of_mark(text)
    told = [one for one in problems_of(text) if one.path == path]
    assert told, [str(one) for one in problems_of(text)]
    assert message in told[0].message, told[0].message
    assert (told[0].line, told[0].column) == place
