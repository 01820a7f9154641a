"""Policies, requests and failures, generated; and who may see a request's data, worked out a second time.

Everything is drawn from one `Random`: hypothesis draws its seed. Drawn field by field by hypothesis, a
policy takes ten times as long to make as to run. `allowed_backends` is the judge: it reads the
generated document, never anything of the package.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from hybridllm.testing import Reply

TAGS = ("public", "eu", "phi", "lab")
TASKS = ("classify", "extract", "summarize")
TENANTS = ("acme", "acme-eu", "bolt")
ENVIRONMENTS = ("production", "staging")
REGIONS = ("eu", "us")
OPERATORS = ("self", "third_party")
RETENTIONS = ("none", "30d")

Document = dict[str, Any]


def given(**fields: Any) -> dict[str, Any]:
    """The fields that say something: in a policy nothing is empty, it is left out."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def maybe(rng: Random, values: Sequence[str]) -> str | None:
    return rng.choice((None, *values))


def some(rng: Random, values: Sequence[str], least: int = 0) -> list[str]:
    """Any of them, in any order."""
    values = list(values)
    return rng.sample(values, rng.randint(min(least, len(values)), len(values)))


def half(rng: Random, values: list[str]) -> list[str]:
    """Nothing, half of the time."""
    return values if rng.random() < 0.5 else []


def document(rng: Random) -> Document:
    """Any policy that loads: up to five backends, three chat models and one for embeddings."""
    backends = {f"b{number}": _backend(rng, number) for number in range(rng.randint(2, 5))}
    models = {
        f"m{number}": given(
            on=dict.fromkeys(some(rng, list(backends), 1), f"wire-m{number}"),
            capabilities=some(rng, ("tools", "json_schema")),
        )
        for number in range(rng.randint(1, 3))
    }
    models["e"] = {
        "on": dict.fromkeys(some(rng, list(backends), 1), "wire-e"),
        "capabilities": ["embeddings"],
    }
    tags = {
        tag: given(
            regions=half(rng, some(rng, REGIONS, 1)),
            operators=half(rng, half(rng, some(rng, OPERATORS, 1))),
            retention=half(rng, half(rng, some(rng, RETENTIONS, 1))),
        )
        for tag in some(rng, TAGS, 1)
    }
    routes = [_route(rng, number, models, tags) for number in range(rng.randint(0, 3))]
    return given(
        version=1,
        environment=rng.choice(ENVIRONMENTS),
        default_residency=maybe(rng, (*tags, *tags, "deny")),
        backends=backends,
        models=models,
        residency=tags,
        tasks={task: given(residency=maybe(rng, list(tags))) for task in some(rng, TASKS)},
        routes=[*routes, _route(rng, len(routes), models, {}, last=True)],
        retries={"same_backend_max": rng.randint(0, 2), "attempts_max": 6},
    )


def _backend(rng: Random, number: int) -> dict[str, Any]:
    return given(
        kind=rng.choice(("api", "vllm")),
        base_url=f"https://b{number}.test/v1",
        region=maybe(rng, REGIONS * 3),
        operator=maybe(rng, OPERATORS * 3),
        retention=maybe(rng, RETENTIONS * 3),
        environments=rng.choice(([], [], [], [], ["production"], ["staging"])),
    )


def _route(
    rng: Random, number: int, models: dict[str, Any], tags: dict[str, Any], *, last: bool = False
) -> dict[str, Any]:
    names = some(rng, list(models), 1)
    split = rng.randint(1, len(names))
    uses = [
        given(model=name, on=half(rng, some(rng, list(models[name]["on"]), 1))) for name in names
    ]
    when = given(
        task=half(rng, some(rng, TASKS, 1)),
        residency=half(rng, some(rng, list(tags), 1)),
        tenant=rng.choice(([], [], ["acme*"], ["bolt", "none-*"])),
        environment=rng.choice(([], [], ["production"])),
    )
    return given(
        name=f"r{number}", when={} if last else when, use=uses[:split], fallbacks=uses[split:]
    )


@dataclass(frozen=True)
class Request:
    """One call: how it is made, and its hints.

    Attributes:
        way: `chat`, `stream` or `embeddings`.
        hints: What is given of task, residency, tenant and model.
        tools: Whether it needs the capability.
    """

    way: str
    hints: dict[str, str]
    tools: bool = False

    def params(self, canary: str) -> dict[str, Any]:
        """The call's keywords; `canary` is its content."""
        if self.way == "embeddings":
            return self.hints | {"input": [canary]}
        params: dict[str, Any] = self.hints | {"messages": [{"role": "user", "content": canary}]}
        if self.tools:
            params["tools"] = [{"type": "function", "function": {"name": "f"}}]
        return params | ({"stream": True} if self.way == "stream" else {})


def request(rng: Random, policy: Document) -> Request:
    """Any call, mostly with names that the policy knows, now and then with one that it does not."""
    tags, tasks, models = (list(policy.get(key, ())) for key in ("residency", "tasks", "models"))
    hints = given(
        task=rng.choice((None, None, None, *tasks * 4, *known_to_routes(policy) * 4, "clasify")),
        residency=rng.choice((None, None, None, *tags * 6, *TAGS, "pubic")),
        tenant=maybe(rng, TENANTS),
        model=rng.choice((*[None] * 20, "m-unknown", *tasks, *models * 2)),
    )
    way = rng.choice(("chat", "chat", "stream", "stream", "embeddings"))
    if way == "embeddings" and rng.random() < 0.7:
        hints["model"] = "e"
    return Request(way, hints, rng.random() < 0.1)


def known_to_routes(policy: Document) -> list[str]:
    """The tasks that some route names."""
    return sorted(
        {task for route in policy["routes"] for task in route.get("when", {}).get("task", ())}
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


def tags_of(policy: Document, asked: Request) -> list[str]:
    """The tags that hold: the request's and its task's; only without any the default. Else nothing."""
    task, tasks = asked.hints.get("task"), policy.get("tasks", {})
    if task is None and asked.hints.get("model") in tasks:
        task = asked.hints["model"]  # a task's name in the model's place
    tags = [asked.hints.get("residency"), tasks.get(task, {}).get("residency")]
    held = [tag for tag in tags if tag is not None]
    default = policy.get("default_residency")
    return held or ([default] if default is not None else [])


def allowed_backends(policy: Document, asked: Request) -> set[str]:
    """The backends that a request's data may go to, by every tag and the environment; maybe nobody."""
    tags, known = tags_of(policy, asked), policy.get("residency", {})
    if any(tag not in known for tag in tags):
        return set()  # `deny`, or a tag that nobody has declared
    return {
        name
        for name, backend in policy["backends"].items()
        if all(_allows(known[tag], backend) for tag in tags)
        and policy["environment"] in backend.get("environments", ENVIRONMENTS)
    }


_TERMS = {"regions": "region", "operators": "operator", "retention": "retention"}


def _allows(tag: dict[str, Any], backend: dict[str, Any]) -> bool:
    return all(term not in tag or backend.get(field) in tag[term] for term, field in _TERMS.items())
