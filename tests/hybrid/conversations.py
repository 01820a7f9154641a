"""Conversations over four replicas with a prefix cache each: who caches what, and who has how much to do.

In virtual time, through the real router. Conversations begin at random times; their turns come after what a
reader needs; each prompt is the whole conversation so far, behind one of a few instructions that many share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from hybridllm import Router, receipt
from hybridllm.testing import (
    LoopClock,
    SimulatedFleet,
    VllmService,
    prompt_tokens,
    run_in_virtual_time,
)

Order = Literal["prefix", "load", "random"]
_WORDS = (
    "invoice",
    "refund",
    "order",
    "parcel",
    "charge",
    "twice",
    "late",
    "queue",
    "ticket",
    "letter",
)
_BLOCK = 32
_WARM_SHARE = (
    0.25  # of the time, not counted: at the beginning caches are empty and nobody is there
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is played.

    Attributes:
        rate: Conversations that begin in a second.
        until_s: When the last one may begin.
        turns: Of a conversation, in the mean; at least one, at most twelve.
        instructions: How many there are; each conversation has one of them.
        instruction_words: Of each: a word is two tokens, about.
        said_words: Of a user's message, in the mean.
        think_s: Between an answer and the next message, in the mean.
        kv_blocks: Of each replica, of 32 tokens: its share of live conversations fits, not all of them.
    """

    rate: float = 4.0
    until_s: float = 50.0
    turns: float = 6.0
    instructions: int = 4
    instruction_words: int = 150
    said_words: int = 25
    think_s: float = 4.0
    kv_blocks: int = 400
    replicas: int = 4
    seed: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """Of the replicas."""
        return tuple(f"vllm-{number}" for number in range(1, self.replicas + 1))


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that was answered.

    Attributes:
        prompt_tokens: Of it, of which `cached_tokens` were cached.
        said_before: Tokens of the conversation's prompt before, or of its instruction.
        first_token_s: From asking.
    """

    backend: str
    at_s: float
    ended_s: float
    prompt_tokens: int
    said_before: int
    cached_tokens: int
    first_token_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it until the last conversation began, the beginning left out.

    Attributes:
        hit_share: Of all prompt tokens, those that were cached.
        possible: Those that would have been if every conversation had a cache without end to itself. What was
            answered is no part of it: the simulated server caches prompts only.
        requests_max: The most requests that one replica had, over the mean of all.
        under_way_max: The same for requests under way, in the mean over the time.
        under_way: Requests under way on a replica, in the mean.
        computed_max: The same for prompt tokens that had to be computed.
        first_token_s: Medians and 95th of 100, in seconds.
    """

    requests: int
    hit_share: float
    possible: float
    requests_max: float
    under_way_max: float
    under_way: float
    computed_max: float
    first_token_s: tuple[float, float]


def policy_text(scene: Scene, order: Order) -> str:
    """Return a policy of equal replicas; by chance: a model of its own on each, drawn for each request."""
    backends = "\n".join(
        f"  {name}: {{kind: vllm, base_url: 'https://{name}.test/v1', operator: self, price: free}}"
        for name in scene.names
    )
    if order == "random":
        models = "\n".join(f"  on-{name}: {{on: {{{name}: m}}}}" for name in scene.names)
        split = ", ".join(f"on-{name}: 1" for name in scene.names)
        use = f"{{split: {{{split}}}}}"
    else:
        models = f"  m: {{on: {{{', '.join(f'{name}: m' for name in scene.names)}}}}}"
        use = f"{{model: m, order_by: {order}}}"
    parts = f"version: 1\nbackends:\n{backends}\nmodels:\n{models}\n"
    return parts + f"routes:\n  - {{name: chat, use: [{use}]}}\n"


def play(scene: Scene, order: Order, *, sessions: bool = False) -> list[Asked]:
    """Play a scene, and return what was answered, in the order in which it was asked.

    Args:
        scene: The same one brings the same conversations, whatever the order.
        order: How the policy orders the replicas.
        sessions: Whether each request names its conversation.
    """
    service = VllmService(
        slots=64,
        answer_tokens=40,
        spread=0.4,
        tokens_per_s=20.0,
        kv_blocks=scene.kv_blocks,
        prefill_tokens_per_s=6_000.0,
    )
    fleet = SimulatedFleet(
        {name: f"https://{name}.test/v1" for name in scene.names}, seed=scene.seed, service=service
    )
    router = Router.from_text(
        policy_text(scene, order),
        wire=fleet,
        environ={},
        clock=LoopClock(),
        chance=Random(scene.seed).random,
    )
    answered: list[Asked] = []

    async def main() -> None:
        chance = Random(f"conversations/{scene.seed}")
        at_s, number = 0.0, 0
        async with router, asyncio.TaskGroup() as group:
            while (at_s := at_s + chance.expovariate(scene.rate)) < scene.until_s:
                number += 1
                talk = _talk(router, scene, at_s, number, answered, sessions=sessions)
                group.create_task(talk)

    run_in_virtual_time(main)
    return sorted(answered, key=lambda one: one.at_s)


async def _talk(
    router: Router,
    scene: Scene,
    at_s: float,
    number: int,
    answered: list[Asked],
    *,
    sessions: bool,
) -> None:
    """One conversation, from its first message to its last answer."""
    chance, loop = Random(f"talk/{scene.seed}/{number}"), asyncio.get_running_loop()
    instruction = Random(chance.randrange(scene.instructions))
    messages: list[Any] = [
        {"role": "system", "content": _words(scene.instruction_words, instruction)}
    ]
    hints: dict[str, Any] = {"session": f"talk-{number}"} if sessions else {}
    before = prompt_tokens(messages)
    await asyncio.sleep(at_s)
    for turn in range(12):
        if turn:
            if chance.random() < 1 / scene.turns:
                break
            await asyncio.sleep(chance.expovariate(1 / scene.think_s))
        said = _words(1 + int(chance.expovariate(1 / scene.said_words)), chance)
        messages.append({"role": "user", "content": said})
        began_s = loop.time()
        stream: Any = await router.chat.completions.create(messages=messages, stream=True, **hints)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        told = receipt(stream).attempts[-1]
        assert told.usage is not None
        assert told.first_token_s is not None
        messages.append({"role": "assistant", "content": text})
        answered.append(
            Asked(
                told.backend,
                began_s,
                loop.time(),
                told.usage.input_tokens,
                before,
                told.usage.cached_input_tokens or 0,
                told.first_token_s,
            )
        )
        before = told.usage.input_tokens


def _words(count: int, chance: Random) -> str:
    return " ".join(chance.choices(_WORDS, k=count))


def figures(scene: Scene, answered: Sequence[Asked]) -> Figures:
    """Return what came of a scene."""
    from_s, until_s = scene.until_s * _WARM_SHARE, scene.until_s
    counted = [one for one in answered if from_s <= one.at_s < until_s]
    requests, under_way, computed = (dict.fromkeys(scene.names, 0.0) for _ in range(3))
    for one in counted:
        requests[one.backend] += 1
        computed[one.backend] += one.prompt_tokens - one.cached_tokens
    for one in answered:
        overlap_s = min(one.ended_s, until_s) - max(one.at_s, from_s)
        under_way[one.backend] += max(0.0, overlap_s) / (until_s - from_s)
    waits = sorted(one.first_token_s for one in counted)
    prompts = sum(one.prompt_tokens for one in counted)
    return Figures(
        len(counted),
        sum(one.cached_tokens for one in counted) / prompts,
        sum(one.said_before // _BLOCK * _BLOCK for one in counted) / prompts,
        _most(requests),
        _most(under_way),
        sum(under_way.values()) / scene.replicas,
        _most(computed),
        (waits[len(waits) // 2], waits[len(waits) * 95 // 100]),
    )


def _most(by_replica: Mapping[str, float]) -> float:
    """The most that one has, over the mean."""
    return max(by_replica.values()) * len(by_replica) / sum(by_replica.values())
