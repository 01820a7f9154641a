"""Policies, requests and failures, generated.

Everything is drawn from one `Random`: hypothesis draws its seed. Drawn field by field by hypothesis, a
policy takes ten times as long to make as to run. Who may see a request's data is worked out a second
time in `judge.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from hybridllm import Policy, PolicyError
from hybridllm._adapters.policy_files import load_policy_text
from hybridllm.testing import Reply
from runtime.generated_rules import (
    BUCKETS,
    CALLER_TAGS,
    FEATURES,
    OPERATORS,
    PLANS,
    REGIONS,
    RETENTIONS,
    SESSIONS,
    TASKS,
    TENANTS,
    constraint,
    entries,
    given,
    half,
    maybe,
    some,
    when,
)

TAGS = ("public", "eu", "phi", "lab")
ENVIRONMENTS = ("production", "staging")
PRICES = (
    {"input_per_1m": 0.1, "output_per_1m": 0.15},
    {"input_per_1m": 1, "output_per_1m": 1.2},
    {"input_per_1m": 5, "output_per_1m": 0.2},
)

CEILINGS = ("max_output_price", "max_request_cost")

Document = dict[str, Any]


def loaded(
    rng: Random, more: Callable[[Random, Document], Document] | None = None
) -> tuple[Policy, Document]:
    """Any policy, with the document it was made of; drawn until one loads. `more` adds to what is drawn.

    Some that are drawn do not: a ceiling may leave nobody. Other tests look at those; here, they would
    be two thirds of what is read and proved, so that the usual ones are passed over unread.
    """
    while True:
        drawn = _drawn(rng)
        if is_surely_refused(drawn):
            continue
        if more is not None:
            drawn = more(rng, drawn)
        try:
            return load_policy_text(as_text(drawn), environ={})[0], drawn
        except PolicyError:
            continue


def is_surely_refused(policy: Document) -> bool:
    """Whether a policy is seen at a glance not to load; most that do not load are.

    An entry has an order of its own inside its route's, or a ceiling goes over nobody with a price.
    """
    return any(
        "order_by" in route and any("order_by" in entry for entry in route["use"])
        for route in policy["routes"]
    ) or any(
        any(ceiling in rule for ceiling in CEILINGS)
        and not any(_has_price(policy, entry) for entry in entries)
        for rule, entries in _ruled(policy)
    )


def _ruled(policy: Document) -> Iterator[tuple[Mapping[str, Any], list[Any]]]:
    """Everything that may set a ceiling, with the entries below it."""
    for bucket in policy["buckets"].values():
        yield bucket, [{"model": name} for name in bucket["use"]]
    for route in policy["routes"]:
        if "mode" not in route:
            entries = [*route["use"], *route.get("fallbacks", ())]
            yield route, entries
            yield from ((entry, [entry]) for entry in entries)


def _has_price(policy: Document, entry: Mapping[str, Any]) -> bool:
    """Whether anybody whom an entry asks may have a price: models have one at somebody else's only."""
    models = [entry["model"]] if "model" in entry else entry.get("split")
    if models is None:
        return True  # a tier, or a bucket: whom it asks is not looked at
    sold = {
        name
        for name, backend in policy["backends"].items()
        if backend["kind"] == "api" and backend.get("operator") != "self"
    }
    return any(
        "price" in policy["models"][model]
        and not sold.isdisjoint(entry.get("on", policy["models"][model]["on"]))
        for model in models
    )


def document(rng: Random) -> Document:
    """Any policy that loads."""
    return loaded(rng)[1]


def _drawn(rng: Random) -> Document:
    """Up to five backends, three chat models and two for embeddings."""
    backends = {f"b{number}": _backend(rng, number) for number in range(rng.randint(2, 5))}
    models: dict[str, Any] = {
        f"m{number}": given(
            on=dict.fromkeys(some(rng, list(backends), 1), f"wire-m{number}"),
            capabilities=some(rng, ("tools", "json_schema")),
            price=rng.choice(PRICES),
            tier=("budget", "premium")[number % 2],
        )
        for number in range(2)
    }
    if rng.random() < 0.5:
        models["m2"] = given(on=dict.fromkeys(some(rng, list(backends), 1), "wire-m2"))
    for name in ("e", "f"):
        models[name] = {
            "on": dict.fromkeys(some(rng, list(backends), 1), f"wire-{name}"),
            "capabilities": ["embeddings"],
            "vector_space": rng.choice(("one", "two")),
        }
    tags = {
        tag: given(
            regions=half(rng, some(rng, REGIONS, 1)),
            operators=half(rng, half(rng, some(rng, OPERATORS, 1))),
            retention=half(rng, half(rng, some(rng, RETENTIONS, 1))),
            taint=rng.choice((None, None, True, "30d")),
        )
        for tag in some(rng, TAGS, 1)
    }
    routes = [_route(rng, number, models, tags) for number in range(rng.randint(0, 3))]
    tasks = {
        task: given(
            residency=maybe(rng, list(tags)),
            bucket=maybe(rng, BUCKETS),
            slo=maybe(rng, ({"ttft_ms": {"p50": 100}},), 0.2),
        )
        for task in some(rng, TASKS)
    }
    names, all_models = list(backends), list(models)
    return given(
        version=1,
        environment=rng.choice(ENVIRONMENTS),
        default_residency=rng.choice((None, *tags, *tags, "deny")),
        backends=backends,
        models=models,
        residency=tags,
        tasks=tasks,
        tiers={"budget": [0, 1], "premium": [1, 10]},
        buckets={
            bucket: given(use=[rng.choice(("m0", "m1"))], max_output_price=maybe(rng, (10,), 0.3))
            for bucket in BUCKETS
        },
        routes=[*routes, _route(rng, len(routes), models, {}, last=True)],
        constraints=[
            constraint(rng, n, names, all_models) for n in range(rng.choice((0, 0, 1, 2)))
        ],
        retries={"same_backend_max": rng.randint(0, 2), "attempts_max": 6},
    )


def _backend(rng: Random, number: int) -> dict[str, Any]:
    return given(
        kind=rng.choice(("api", "vllm")),
        base_url=f"https://b{number}.test/v1",
        region=maybe(rng, REGIONS, 0.86),
        operator=maybe(rng, OPERATORS, 0.86),
        retention=maybe(rng, RETENTIONS, 0.86),
        environments=rng.choice(([], [], [], [], ["production"], ["staging"])),
    )


def _route(
    rng: Random, number: int, models: dict[str, Any], tags: dict[str, Any], *, last: bool = False
) -> dict[str, Any]:
    names = some(rng, list(models), 1)
    split = rng.randint(1, len(names))
    use, fallbacks = entries(rng, models, names[:split]), entries(rng, models, names[split:])
    if last and "split" not in use[0]:
        use[0] = {"model": names[0]}
    return given(
        name=f"r{number}",
        mode=None if last else maybe(rng, ("observe",), 0.1),
        when={} if last else when(rng, list(tags)),
        use=use,
        fallbacks=fallbacks,
        order_by=None
        if any("split" in one for one in use)
        else maybe(rng, ("price", "latency", "load"), 0.15),
        slo=maybe(rng, ({"total_ms": {"p90": 300}},), 0.15),
        max_output_price=maybe(rng, (1.3,), 0.1),
    )


@dataclass(frozen=True)
class Request:
    """One call: how it is made, and its hints.

    Attributes:
        way: `chat`, `stream` or `embeddings`.
        hints: What is given of task, residency, tenant, ..., and model.
        tools: Whether it needs the capability.
        words: Length of its content.
    """

    way: str
    hints: dict[str, Any]
    tools: bool = False
    words: int = 0

    def params(self, canary: str) -> dict[str, Any]:
        """The call's keywords; `canary` is its content."""
        content = canary + " word" * self.words
        if self.way == "embeddings":
            return self.hints | {"input": [content]}
        params: dict[str, Any] = self.hints | {"messages": [{"role": "user", "content": content}]}
        if self.tools:
            params["tools"] = [{"type": "function", "function": {"name": "f"}}]
        return params | ({"stream": True} if self.way == "stream" else {})

    def facts(self, input_tokens: int) -> dict[str, Any]:
        """The same for the judge."""
        needs = {"embeddings"} if self.way == "embeddings" else {"tools"} if self.tools else set()
        return {
            "hints": self.hints,
            "stream": self.way == "stream",
            "needs": needs,
            "input_tokens": input_tokens,
        }


def request(rng: Random, policy: Document) -> Request:
    """Any call, mostly with names that the policy knows, now and then with one that it does not."""
    tags, tasks, models = (list(policy.get(key, ())) for key in ("residency", "tasks", "models"))
    hints = given(
        task=rng.choice((None, None, None, *tasks * 4, *known_to_routes(policy) * 4, "clasify")),
        residency=rng.choice((None, None, None, *tags * 6, *TAGS, "pubic")),
        tenant=maybe(rng, TENANTS, 0.75),
        feature=maybe(rng, FEATURES),
        session=maybe(rng, SESSIONS),
        tags=half(rng, some(rng, CALLER_TAGS)),
        metadata=given(plan=maybe(rng, PLANS), seats=maybe(rng, ("7", "700"), 0.3)),
        max_cost_usd=maybe(rng, ("0.0001", "1"), 0.1),
        model=rng.choice((*[None] * 20, "m-unknown", *tasks, *models * 2)),
    )
    way = rng.choice(("chat", "chat", "stream", "stream", "embeddings"))
    if way == "embeddings":
        hints |= given(
            model=rng.choice((hints.get("model"), "e", "f")),
            vector_space=maybe(rng, ("one", "two", "thre"), 0.3),
        )
    return Request(way, hints, rng.random() < 0.1, rng.choice((0, 0, 30, 3_000)))


def known_to_routes(policy: Document) -> list[str]:
    """The tasks that some route names."""
    return sorted(
        {
            task
            for route in policy["routes"]
            for task in route.get("when", {}).get("task", ())
            if "*" not in task
        }
    )


REPLIES = {
    "good": Reply.chat("fine"),
    "reset": Reply.fail("reset"),
    "connect": Reply.fail("connect"),
    "stale": Reply.fail("stale_connection"),
    "hang": Reply.hang(),
    "500": Reply.status(500),
    "503": Reply.status(503, retry_after=2),
    "429": Reply.status(429, retry_after=1),
    "quota": Reply.status(429, error_code="insufficient_quota"),
    "401": Reply.status(401),
    "404": Reply.status(404, error_code="model_not_found"),
    "400": Reply.status(400),
    "redirect": Reply.raw(b"", status=307, headers={"location": "https://evil.test/v1"}),
    "html": Reply.raw(b"<html>"),
    "null": Reply.raw(b"null"),
    "cut": Reply.chat_stream(["fi"], finish_reason=None),
    "role-only": Reply.chat_stream([], finish_reason=None, done=False).then_fail(),
}
FAILURES = tuple(name for name in REPLIES if name != "good")
GOOD = {
    "chat": Reply.chat("fine"),
    "stream": Reply.chat_stream(["fi", "ne"]),
    "embeddings": Reply.embeddings([[0.5, 0.5]]),
}


def reply(rng: Random, way: str, *, good: float) -> Reply:
    """What a backend answers to a request made this way; with probability `good` a good answer."""
    return GOOD[way] if rng.random() < good else REPLIES[rng.choice(FAILURES)]


def as_text(policy: Document) -> str:
    """The policy file; JSON is YAML."""
    return json.dumps(policy)
