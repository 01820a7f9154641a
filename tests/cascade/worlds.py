"""A route with a cascade over scripted backends: `small` is cheap and asked first, `big` dear and better."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

from hybridllm.testing import Reply
from runtime.world import Replies, Script, scripted

SURE = "The capital of France is Paris."
UNSURE = "I\u2019m not sure, but it might be Lyon."
BETTER = "It is Paris, on the Seine."


def cascaded(
    escalate_if: str = "{phrases: default}",
    *,
    firsts: str = "a",
    thens: str = "b",
    more: str = "",
    route: str = "",
    task: str = "",
    top: str = "",
) -> str:
    """A policy's text: `small` on the backends `firsts`, `big` on `thens`, `third` on `c`.

    Args:
        escalate_if: The checks.
        firsts: Letters, each a backend of `small`.
        thens: The same of `big`.
        more: Anything else of `small`.
        route: Anything else of the route.
        task: Anything else of the task `t`.
        top: Anything else, at the top level.
    """
    names = sorted({*firsts, *thens, "c"})
    backends = "\n".join(
        f"  {name}: {{kind: api, base_url: 'https://{name}.test/v1', api_key_env: KEY, region: {name}, "
        "operator: third_party, retention: none, health: off}"
        for name in names
    )
    small = ", ".join(f"{name}: small" for name in firsts)
    big = ", ".join(f"{name}: big" for name in thens)
    return f"""
version: 1
backends:
{backends}
models:
  small:
    price: {{input_per_1m: 1, output_per_1m: 2}}
    capabilities: [tools, json_schema, logprobs]
    on: {{{small}}}{more}
  big:
    price: {{input_per_1m: 10, output_per_1m: 20}}
    capabilities: [tools, json_schema, logprobs]
    on: {{{big}}}
  third: {{price: {{input_per_1m: 1, output_per_1m: 1}}, capabilities: [tools], on: {{c: third}}}}
tasks:
  t: {{bucket: bandwidth{task}}}
routes:
  - name: all
    use: [{{model: small, on: [{", ".join(firsts)}]}}]
    fallbacks: [{{model: big, on: [{", ".join(thens)}]}}, third]
    cascade: {{first: small, then: big, escalate_if: {escalate_if}}}{route}
{top}
"""


def cascade(
    escalate_if: str = "{phrases: default}",
    *,
    policy: dict[str, Any] | None = None,
    **replies: Replies,
) -> AbstractAsyncContextManager[Script]:
    """A router over that policy."""
    return scripted(cascaded(escalate_if, **policy or {}), **replies)


def scored(text: str, *logprobs: float) -> Reply:
    """A chat completion with the log-probabilities of its tokens."""
    tokens = [{"token": "x", "logprob": one, "bytes": None, "top_logprobs": []} for one in logprobs]
    answer = json.loads(Reply.chat(text).chunks[0])
    answer["choices"][0]["logprobs"] = {"content": tokens, "refusal": None}
    return Reply.json(answer)


def said(answer: Any) -> str:
    """The text of an answer."""
    text: str = answer.choices[0].message.content
    return text
