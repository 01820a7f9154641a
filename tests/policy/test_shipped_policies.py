"""The policies in `policies/` load without a doubt and do what their comments say."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from pathlib import Path

import pytest

from hybridllm._adapters.policy_files import load_policy
from hybridllm._core.decide.filters import residency_drop
from hybridllm._core.policy.compiled import Capability, Policy

POLICIES = Path(__file__).parents[2] / "policies"
KEYS = {"GLOBAL_API_KEY": "not-a-real-key", "VLLM_API_KEY": "not-a-real-key"}
URLS = {
    "HYBRIDLLM_US_URL": "http://127.0.0.1:18001/v1",
    "HYBRIDLLM_EU_URL": "http://127.0.0.1:18002/v1",
    "HYBRIDLLM_VLLM_URL": "http://127.0.0.1:18003/v1",
}
BOTH = pytest.mark.parametrize("name", ["api-first", "regulated"])


def shipped(name: str, **environ: str) -> Policy:
    policy, _ = load_policy(POLICIES / f"{name}.yaml", environ=environ)
    return policy


def allowed(policy: Policy, tag: str) -> set[str]:
    """Return every backend that a tag allows."""
    return {
        candidate.backend.name
        for served in policy.candidates.values()
        for candidate in served
        if residency_drop(candidate, (policy.residency[tag],)) is None
    }


@BOTH
def test_it_loads_without_a_warning(name: str) -> None:
    """With its keys set there is nothing doubtful; without them only that."""
    _, warnings = load_policy(POLICIES / f"{name}.yaml", environ=KEYS)
    assert warnings == ()
    _, warnings = load_policy(POLICIES / f"{name}.yaml", environ={})
    assert warnings
    assert all("is not set; requests to" in warning.message for warning in warnings)


@BOTH
def test_every_shipped_policy_is_tested(name: str) -> None:
    """A policy added to the folder is added here."""
    assert {path.stem for path in POLICIES.glob("*.yaml")} == {"api-first", "regulated"}


@BOTH
def test_its_servers_are_set_from_outside(name: str) -> None:
    """So that one file serves a demonstration on this machine and production."""
    policy = shipped(name, **URLS, HYBRIDLLM_ENVIRONMENT="staging")
    assert {backend.base_url for backend in policy.backends.values()} == set(URLS.values())
    assert policy.environment == "staging"
    assert shipped(name).environment == "production"


@BOTH
def test_every_candidate_has_a_price(name: str) -> None:
    """Hosted ones from the model book, our own because the policy says free."""
    for served in shipped(name).candidates.values():
        for candidate in served:
            assert candidate.price is not None
            own = candidate.backend.operator == "self"
            assert (candidate.price.price_id == "policy:free") == own


@BOTH
def test_a_tag_reaches_only_who_may_see_its_data(name: str) -> None:
    """By any path: routes cannot widen it."""
    policy = shipped(name)
    assert allowed(policy, "phi") == {"vllm-fra"}
    assert allowed(policy, "eu") == {"vllm-fra", "global-eu"}
    assert allowed(policy, "public") == {"vllm-fra", "global-eu", "global-us"}


def test_api_first_sends_small_tasks_to_the_cheapest_models() -> None:
    """In both regions, with our own model behind them."""
    policy = shipped("api-first")
    route = next(route for route in policy.routes if route.name == "classify-cheap")
    assert route.when.task == {"classify", "extract", "sentiment"}
    assert [use.model.name for use in route.use] == ["qwen3-8b", "glm-4-9b", "qwen3-32b"]
    prices = [c.price.usd_per_mtok_out for use in route.use[:2] for c in use.candidates if c.price]
    assert prices == [Decimal("0.01")] * 4
    assert policy.default_residency == "public"


def test_api_first_answers_a_picture_by_its_default_route() -> None:
    """The last fallback lists what the others lack."""
    default = shipped("api-first").routes[-1]
    assert [use.model.name for use in default.use] == [
        "deepseek-v4-flash",
        "qwen3-32b",
        "qwen3-omni-30b",
    ]
    assert {Capability.VISION, Capability.AUDIO} <= default.use[-1].model.capabilities


def test_regulated_denies_what_carries_no_tag() -> None:
    """And its patient tasks carry theirs."""
    policy = shipped("regulated")
    assert policy.deny_untagged
    assert {policy.tasks[task].residency for task in ("clinical-note", "triage")} == {"phi"}


def test_regulated_keeps_other_work_off_our_own_servers() -> None:
    """Routes without the tag `phi` name hosted backends only."""
    for route in shipped("regulated").routes:
        backends = {c.backend.name for use in route.use for c in use.candidates}
        own = route.when.residency == {"phi"}
        assert backends == ({"vllm-fra"} if own else {"global-eu", "global-us"})


@BOTH
def test_it_names_the_schema_that_editors_use(name: str) -> None:
    """The first line is what makes an editor complete keys."""
    path = POLICIES / f"{name}.yaml"
    (relative,) = re.findall(
        r"^# yaml-language-server: \$schema=(\S+)$", path.read_text("utf-8"), re.MULTILINE
    )
    assert (path.parent / relative).resolve().is_file()


@BOTH
def test_it_loads_in_a_few_milliseconds(name: str) -> None:
    """Once the process has loaded any policy: a reload must not be felt."""
    path = POLICIES / f"{name}.yaml"
    load_policy(path, environ=KEYS)
    best_s = float("inf")
    for _ in range(5):
        started_s = time.process_time()
        load_policy(path, environ=KEYS)
        best_s = min(best_s, time.process_time() - started_s)
    assert best_s < 0.015
