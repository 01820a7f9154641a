"""The second judge: it says by itself where data may go, and finds out a decision that goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import pytest

from hybridllm._adapters.policy_files import load_policy_text
from hybridllm._core.decide.decide import decide
from hybridllm._core.decide.plan import Denied, Dropped, DropReason, Kept, Plan
from hybridllm._core.decide.snapshot import Snapshot
from hybridllm._core.policy.compiled import Capability, Policy
from hybridllm._core.policy.document import WHOLE_FILE, Findings, MapNode
from hybridllm._core.policy.residency import Residency
from hybridllm._core.proof.doubts import tell_proof
from hybridllm._core.proof.judge import backend_objection, objections, tags_of
from hybridllm._core.proof.reach import Decide, Disagreement, reach_of
from hybridllm._core.proof.taken import shares_of
from hybridllm._core.proof.verdict import violations
from hybridllm._core.request.facts import Facts
from proof.policies import policy, text

Verdict = Plan | Denied
TAGS = {"eu": {"regions": ["eu"]}, "phi": {"regions": ["eu"], "operators": ["self"], "taint": True}}
LIMITED = policy(
    residency={"public": {}} | TAGS,
    tasks={"classify": {"residency": "eu"}, "review": {}},
    routes=[
        {"name": "pictures", "when": {"capability": "vision"}, "use": ["small"]},
        {"name": "cheap", "when": {"task": "classify"}, "use": ["small"]},
        {"name": "default", "use": ["small"], "fallbacks": ["large"]},
    ],
    constraints=[{"name": "acme", "when": {"tenant": "acme"}, "allow": {"backends": ["own"]}}],
)


@pytest.mark.parametrize(
    ("backend", "tag", "said"),
    [
        ("own", "phi", None),
        ("eu", "eu", None),
        ("us", "public", None),
        ("us", "eu", "region of 'us' is us; tag 'eu' wants eu"),
        ("eu", "phi", "operator of 'eu' is third_party; tag 'phi' wants self"),
        ("us", "secret", "tag 'secret' is not declared"),
    ],
)
def test_a_tag_keeps_data_where_its_terms_are_met(backend: str, tag: str, said: str | None) -> None:
    """Every term that a tag names; a tag that nobody declared allows nothing."""
    assert backend_objection(LIMITED, tag, LIMITED.backends[backend]) == said


def test_who_declares_nothing_is_trusted_with_nothing() -> None:
    """Not even with a tag that restricts nothing; an undeclared term is as bad as a wrong one."""
    silent = replace(LIMITED.backends["own"], region=None, operator=None, retention=None)
    assert "declares no terms" in str(backend_objection(LIMITED, "public", silent))
    partly = replace(LIMITED.backends["own"], operator=None)
    assert "undeclared" in str(backend_objection(LIMITED, "phi", partly))


@pytest.mark.parametrize(
    ("facts", "tags"),
    [
        (Facts(), {"public"}),
        (Facts(residency="eu"), {"eu"}),
        (Facts(task="classify"), {"eu"}),
        (Facts(task="classify", residency="public", taints=("phi",)), {"eu", "public", "phi"}),
        (Facts(task="unheard-of"), {"public"}),
        (Facts(taints=("phi",)), {"public", "phi"}),
    ],
)
def test_the_judge_reads_the_tags_of_a_request_itself(facts: Facts, tags: set[str]) -> None:
    """Own and of the task, without both the default; of the session, in addition."""
    assert tags_of(LIMITED, facts) == tags


def test_the_judge_objects_to_more_than_terms() -> None:
    """Environment, capabilities and every constraint that holds."""
    (candidate, *_) = LIMITED.candidates["small"]
    facts = Facts(residency="eu", needs=frozenset({Capability.VISION}), environment="qa")
    elsewhere = replace(
        candidate, backend=replace(candidate.backend, environments=frozenset({"x"}))
    )
    said = " / ".join(objections(LIMITED, facts, elsewhere, LIMITED.constraints))
    for words in (
        "region of 'us'",
        "not for environment 'qa'",
        "cannot vision",
        "constraint 'acme'",
    ):
        assert words in said


# Decisions with a planted mistake. Each is the real one, but for one rule that it forgets.


def without_residency(policy: Policy, facts: Facts, snapshot: Snapshot) -> Verdict:
    """Tags are read, and their terms forgotten."""
    open_tags = {tag: Residency(tag) for tag in policy.residency}
    return decide(replace(policy, residency=MappingProxyType(open_tags), memo={}), facts, snapshot)


def without_one_term(policy: Policy, facts: Facts, snapshot: Snapshot) -> Verdict:
    """The operator is forgotten."""
    tags = {tag: replace(terms, operators=frozenset()) for tag, terms in policy.residency.items()}
    return decide(replace(policy, residency=MappingProxyType(tags), memo={}), facts, snapshot)


def without_the_tag_of_the_task(policy: Policy, facts: Facts, snapshot: Snapshot) -> Verdict:
    """Only the request's own tag is read."""
    tasks = {name: replace(task, residency=None) for name, task in policy.tasks.items()}
    return decide(replace(policy, tasks=MappingProxyType(tasks), memo={}), facts, snapshot)


def without_the_session(policy: Policy, facts: Facts, snapshot: Snapshot) -> Verdict:
    """What a session has carried is forgotten."""
    return decide(policy, replace(facts, taints=()), snapshot)


def without_constraints(policy: Policy, facts: Facts, snapshot: Snapshot) -> Verdict:
    """No constraint is enforced."""
    return decide(replace(policy, constraints=(), memo={}), facts, snapshot)


def without_capabilities(policy: Policy, facts: Facts, snapshot: Snapshot) -> Verdict:
    """Whatever is needed, every model will do."""
    plan = decide(policy, facts, snapshot)
    return _with_back(plan, DropReason.CAPABILITY)


def with_those_that_were_dropped(policy: Policy, facts: Facts, snapshot: Snapshot) -> Verdict:
    """A fallback brings back whom a tag has dropped."""
    return _with_back(decide(policy, facts, snapshot), DropReason.REGION)


def _with_back(plan: Verdict, reason: DropReason) -> Verdict:
    dropped: tuple[Dropped, ...] = plan.dropped
    back = tuple(Kept(one.candidate, True, "back") for one in dropped if one.reason is reason)
    if isinstance(plan, Denied):
        if not back or plan.route is None:
            return plan
        return Plan(plan.policy, plan.facts, plan.route, back, (), residency=plan.residency)
    return replace(plan, kept=plan.kept + back)


MISTAKES: list[Callable[[Policy, Facts, Snapshot], Verdict]] = [
    without_residency,
    without_one_term,
    without_the_tag_of_the_task,
    without_the_session,
    without_capabilities,
    with_those_that_were_dropped,
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_rule_that_is_forgotten_is_found_out(mistake: Decide) -> None:
    """Whatever is reached by it, the judge objects to."""
    shares = shares_of(LIMITED)
    assert not list(violations(reach_of(LIMITED, shares, thorough=True)))
    assert list(violations(reach_of(LIMITED, shares, thorough=True, decide=mistake)))


def test_a_constraint_that_is_forgotten_is_found_out() -> None:
    """Among the requests for which it holds."""
    shares, (constraint,) = shares_of(LIMITED), LIMITED.constraints
    for mistake, found in ((decide, False), (without_constraints, True)):
        reach = reach_of(LIMITED, shares, thorough=False, within=constraint, decide=mistake)
        assert bool(list(violations(reach))) == found


def test_a_request_that_goes_another_way_is_found_out() -> None:
    """The proof knows which route takes what, and holds the decision to it."""

    def last_route_first(policy: Policy, facts: Facts, snapshot: Snapshot) -> Verdict:
        return decide(replace(policy, routes=policy.routes[::-1], memo={}), facts, snapshot)

    with pytest.raises(
        Disagreement, match="expected to be decided by pictures, and was by default"
    ):
        reach_of(LIMITED, shares_of(LIMITED), thorough=False, decide=last_route_first)


@pytest.mark.parametrize("mistake", MISTAKES[:4], ids=lambda mistake: mistake.__name__)
def test_a_policy_whose_proof_fails_is_refused(mistake: Decide) -> None:
    """While it is loaded, before a request is sent; the message says whose mistake it is."""
    findings = Findings("p.yaml")
    tell_proof(LIMITED, MapNode({}, WHOLE_FILE), findings, decide=mistake)
    assert findings.failed
    (first, *_) = [one for one in findings.in_order() if not one.warning]
    assert "this is a mistake in hybridllm, not in the policy" in first.message


def test_the_line_of_the_route_is_told() -> None:
    """Of the one by which data would leave."""
    from hybridllm._adapters.yaml_document import read_document

    findings = Findings("p.yaml")
    root = read_document(text().encode(), findings)
    loaded, _ = load_policy_text(text(), environ={})
    assert root is not None
    tell_proof(loaded, root, findings, decide=without_residency)
    wrong = {(one.path, one.line) for one in findings.in_order() if not one.warning}
    lines = {route.name: route.line for route in loaded.routes}
    assert {("routes[0]", lines["cheap"]), ("routes[1]", lines["default"])} <= wrong
