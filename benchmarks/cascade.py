"""What a cascade saves, and what it costs in quality: `python benchmarks/cascade.py`.

Plays a recorded mixed load (`cascade_load.jsonl`: questions, what a right answer holds, what two models said)
through the real router three times: with the small model alone, with a cascade, and with the better model
alone. The models are simulated: backends on loopback that say what is recorded and count tokens in their own
way. So the figures show that the sums are right, and what a cascade does with answers like these; how often
*your* small model says that it is not sure is what your own traffic tells (`router.status().cascades`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from hybridllm import CascadeStatus, Router, receipt
from hybridllm.testing import SimulatedBackend

LOAD = Path(__file__).with_name("cascade_load.jsonl")
SMALL, BIG = "glm-4-9b", "deepseek-v4-flash"
POLICY = """
version: 1
backends:
  cheap: {{kind: api, base_url: '{cheap}', allow_plaintext: true}}
  good: {{kind: api, base_url: '{good}', allow_plaintext: true}}
models:
  glm-4-9b: {{on: {{cheap: glm-4-9b}}}}
  deepseek-v4-flash: {{on: {{good: deepseek-v4-flash}}}}
routes:
  - {{name: small, when: {{task: small}}, use: [glm-4-9b]}}
  - {{name: big, when: {{task: big}}, use: [deepseek-v4-flash]}}
  - name: cascade
    use: [glm-4-9b]
    fallbacks: [deepseek-v4-flash]
    cascade: {{first: glm-4-9b, then: deepseek-v4-flash, escalate_if: {{phrases: default}}}}
"""


@dataclass(frozen=True, slots=True)
class Played:
    """What became of the load, asked one way.

    Attributes:
        cost_usd: Of every attempt.
        correct: Answers that hold what a right one does.
    """

    how: str
    asked: int
    correct: int
    escalated: int
    cost_usd: Decimal


async def played(load: list[dict[str, str]]) -> tuple[list[Played], CascadeStatus]:
    """Ask every question three ways; return what became of each, and what the router says of the cascade."""
    by_question = {one["ask"]: one for one in load}

    def said(who: str) -> Any:
        def answer(body: Mapping[str, Any]) -> str:
            return by_question[body["messages"][-1]["content"]][who]

        return answer

    async with AsyncExitStack() as stack:
        cheap, good = [
            await stack.enter_async_context(
                SimulatedBackend(name=name, models=[model], answer=said(who))
            )
            for name, model, who in (("cheap", SMALL, "small"), ("good", BIG, "big"))
        ]
        text = POLICY.format(cheap=cheap.base_url, good=good.base_url)
        router = await stack.enter_async_context(Router.from_text(text, environ={}))
        found = [await _asked(router, load, how) for how in ("small", "cascade", "big")]
        return found, router.status().cascades[0]


async def _asked(router: Router, load: list[dict[str, str]], how: str) -> Played:
    correct = escalated = 0
    cost = Decimal(0)
    for one in load:
        answer = await router.chat.completions.create(
            task=None if how == "cascade" else how,
            messages=[{"role": "user", "content": one["ask"]}],
        )
        text = answer.choices[0].message.content or ""
        correct += one["expect"].casefold() in text.casefold()
        told = receipt(answer)
        escalated += told.escalated is not None
        cost += told.cost_usd or 0
    return Played(how, len(load), correct, escalated, cost)


def report(found: list[Played], status: CascadeStatus) -> str:
    """Return the figures as a Markdown table, with the sentence that sums them up."""
    small, cascade, big = found
    names = {"small": f"{SMALL} alone", "cascade": "cascade", "big": f"{BIG} alone"}
    lines = [
        "| asked | right | escalated | cost | against the better model alone |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        saved = 1 - one.cost_usd / big.cost_usd
        escalated = f"{one.escalated} of {one.asked}" if one is cascade else ""
        lines.append(
            f"| {names[one.how]} | {one.correct / one.asked:.1%} | {escalated} | "
            f"${one.cost_usd:.9f} | {-saved:+.1%} |"
        )
    lines += [
        "",
        f"{cascade.asked} requests, simulated models. Escalation rate {status.escalation_rate or 0:.1%}; "
        f"saved {1 - cascade.cost_usd / big.cost_usd:.1%} of the better model's cost, both attempts of an "
        f"escalated request counted; right answers: {small.correct} -> {cascade.correct} -> {big.correct}. "
        f"The router's own estimate of the saving: ${status.saved_usd:.9f}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Play the load and print what became of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--load", type=Path, default=LOAD, help="questions, one JSON object a line")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    load = [json.loads(line) for line in options.load.read_text(encoding="utf-8").splitlines()]
    found, status = asyncio.run(played(load))
    if options.json:
        rows = [{**asdict(one), "cost_usd": f"{one.cost_usd:f}"} for one in found]
        print(json.dumps({"simulated": True, "asked": rows, "status": status.to_dict()}, indent=2))
    else:
        print(report(found, status))


if __name__ == "__main__":
    main()
