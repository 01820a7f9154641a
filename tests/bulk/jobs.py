"""Jobs over scripted backends, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from hybridllm import BulkJob, BulkResult
from hybridllm.testing import Reply, SentRequest
from runtime.world import Script, policy, scripted

Answer = Callable[[int], Reply]


def request(index: int, **more: Any) -> dict[str, Any]:
    """A request that its answer can be told from."""
    return {"messages": [{"role": "user", "content": f"item {index}"}], **more}


def requests(count: int, **more: Any) -> Iterator[dict[str, Any]]:
    return (request(index, **more) for index in range(count))


def number_in(sent: SentRequest) -> int:
    return int(sent.json["messages"][0]["content"].removeprefix("item "))


def in_a_second(number: int) -> Reply:
    return Reply.chat(f"answer {number}").after(1.0)


@asynccontextmanager
async def backend(
    answer: Answer = in_a_second, *, timeouts: str = "attempt: 5000s", more: str = ""
) -> AsyncIterator[Script]:
    """A router over one backend `eu`; at the end nothing may be under way."""
    text = policy("eu", timeouts=timeouts, repeats=0, more=more)
    async with scripted(text, eu=lambda sent: answer(number_in(sent))) as here:
        yield here


def said(result: BulkResult) -> str:
    """The text of an answer."""
    text: str = result.answer.choices[0].message.content
    return text


async def all_of(job: BulkJob) -> list[BulkResult]:
    async with job:
        return [result async for result in job]


async def drain(job: BulkJob, got: list[BulkResult]) -> None:
    """Take every result; what came before an error is in `got`."""
    async for result in job:
        got.append(result)  # noqa: PERF401 - see above
