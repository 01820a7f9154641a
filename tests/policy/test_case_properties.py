"""What `Router.explain` says of a request in a world is a test that passes; changed anywhere, it fails."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hybridllm import Explanation, Router, World
from policy.case_policy import reading
from runtime import generated

Expect = dict[str, Any]
EXAMPLES = 40
REQUESTS_EACH = 3


def world(rng: Random, policy: generated.Document) -> dict[str, Any]:
    """Any state of the world, as `given` has it."""
    names = list(policy["backends"])
    measured = {name: {"p50": rng.choice((50, 500))} for name in generated.some(rng, names)}
    carried = generated.half(rng, generated.some(rng, list(policy.get("residency", ())), 1))
    return generated.given(
        session="s-1" if carried else None,
        down=generated.half(rng, generated.some(rng, names, 1)),
        in_flight={name: rng.randint(0, 9) for name in generated.some(rng, names)},
        ttft_ms=measured,
        now=rng.choice(("2026-01-05T12:00Z", "2026-01-11T02:00Z")),
        chance=rng.choice((0, 0.25, 0.5, 0.75)),
        load={
            name: {rng.choice(("out", "rate_limited", "saturated", "budget")): True}
            | generated.given(cold=rng.choice((None, None, "15s")))
            for name in generated.half(rng, generated.some(rng, names, 1)) or ()
        },
        carried=carried,
        environment=rng.choice((None, None, *generated.ENVIRONMENTS)),
    )


def explained(router: Router, asked: dict[str, Any]) -> Explanation:
    """What the router says of the request, in the world, of a test's `given`."""
    own = {name: value for name, value in asked.items() if name != "now"}
    names = ("down", "in_flight", "chance", "carried", "environment")
    ttft_ms = {who: {50: found["p50"]} for who, found in own.pop("ttft_ms", {}).items()}
    load = {who: dict(said) for who, said in own.pop("load", {}).items()}
    for said in load.values():
        if said.pop("cold", None) is not None:
            said["cold_s"] = 15
    now = datetime.fromisoformat(asked.get("now", "2026-01-05T12:00Z")).astimezone(UTC)
    state = World(
        **{name: own.pop(name) for name in names if name in own},
        ttft_ms=ttft_ms,
        load=load,
        now=now,
    )
    return router.explain(**own, world=state)


def written(told: Explanation, backends: list[str]) -> Expect:
    """The test that expects all of what was told."""
    asked = [name.partition("/")[0] for name in told.candidates]
    never = [name for name in backends if name not in asked]
    found: Expect = {"route": told.route, "error": told.error, "rule": told.rule, "never": never}
    if told.answering is not None and told.answer is not None:
        backend, _, model = told.answer.partition("/")
        found |= {"backend": backend, "model": model, "reason": told.answering.reason.value}
    return generated.given(**found, candidates=list(told.candidates))


def changed(rng: Random, expect: Expect, policy: generated.Document) -> dict[str, Expect]:
    """Per key the same test with another value there, one that the policy knows."""
    names = {
        "route": [route["name"] for route in policy["routes"]] + ["(pinned)"],
        "backend": list(policy["backends"]),
        "model": list(policy["models"]),
        "reason": ["primary", "failover", "fallback"],
        "rule": ["residency 'x'"],
    }
    found = {}
    for key in expect.keys() & names.keys():
        value = rng.choice([name for name in names[key] if name != expect[key]])
        found[key] = expect | {key: value}
    if "candidates" in expect:
        there: list[str] = expect["candidates"]
        found["candidates"] = expect | {"candidates": there[::-1] if len(there) > 1 else there * 2}
        denied = rng.choice(there).partition("/")[0]
        found["never"] = expect | {"never": [*expect.get("never", ()), denied]}
    if not expect.get("rule", "").startswith(
        "unknown "
    ):  # only a denial may begin with such a name
        # Alone: with what it excludes it would be no test at all.
        errors = {"policy_denied", "route_exhausted"} - {expect.get("error")}
        found["error"] = {"error": rng.choice(sorted(errors))}
    return found


def judged(seed: int, tally: Counter[str]) -> None:
    rng = Random(seed)
    compiled, policy = generated.loaded(rng)
    router = Router(compiled, environ={})
    cases, labels = [], []
    for _ in range(REQUESTS_EACH):
        call = generated.request(rng, policy)
        asked = call.hints | generated.given(
            operation="embeddings" if call.way == "embeddings" else "chat",
            stream=(call.way == "stream") or None,
            needs=["tools"] if call.tools else None,
            input_tokens=rng.choice((0, 20, 3_000)),
            **world(rng, policy),
        )
        expect = written(explained(router, asked), list(policy["backends"]))
        cases.append({"given": asked, "expect": expect})
        labels.append("as explained")
        for key, other in changed(rng, expect, policy).items():
            cases += [
                {"given": asked, "expect": other},
                {"given": asked, "expect": {key: other[key]}},
            ]
            labels += [key, f"{key} alone"]
    read = reading(text=generated.as_text(policy), beside=json.dumps({"tests": cases}))
    assert read.policy is not None, [str(problem) for problem in read.problems]
    for label, result in zip(labels, read.results, strict=True):
        assert result.passed is (label == "as explained"), (label, str(result))
        tally[label] += 1


def test_a_test_written_from_an_explanation_passes_and_any_change_of_it_fails() -> None:
    """Each key of `expect` is looked at, alone and among all the others."""
    tally: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES)
    @given(seed=st.integers(0, 2**32))
    def run(seed: int) -> None:
        judged(seed, tally)

    run()
    assert tally["as explained"] > EXAMPLES
    for key in ("route", "backend", "model", "reason", "error", "rule", "candidates", "never"):
        assert tally[f"{key} alone"] > 20, tally
