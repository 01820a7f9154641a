"""`hybridllm.compare`: the same prompts to several models of a policy, and what each makes of them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridllm._core.compare.comparison import Answered, Comparison, compared
from hybridllm._core.compare.live import ShadowSummary, shadow_summaries
from hybridllm._core.compare.prompts import Prompt, read_prompt
from hybridllm._core.ledger.periods import microseconds, period
from hybridllm._runtime.wall_clock import utc_now
from hybridllm.errors import InvalidRequest

if TYPE_CHECKING:
    from hybridllm._compose.router import Router
    from hybridllm._core.bulk.result import BulkResult

Verdict = bool | float | None
Judge = Callable[[Mapping[str, Any], str, str | None], Verdict | Awaitable[Verdict]]
"""Takes the request, an answer, and the expected one if there is any; returns 0 to 1, or True or False."""

_SHOWN_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class CompareProgress:
    """Where a comparison stands.

    Attributes:
        model: That is asked now.
        done: Prompts that have ended, all models together; `total`: of so many.
        cost_usd: What is known to have been paid so far.
    """

    model: str
    done: int
    total: int
    cost_usd: Decimal


async def compare(
    router: Router,
    prompts: str | Path | Iterable[Mapping[str, Any] | Prompt],
    *,
    models: Sequence[str],
    judge: Judge | str | None = None,
    schema: Any = None,
    hints: Mapping[str, Any] | None = None,
    concurrency: int = 16,
    on_progress: Callable[[CompareProgress], object] | None = None,
) -> Comparison:
    """Ask several models the same prompts and return what each made of them.

    Each request pins its model; residency, constraints and all other hard filters hold as always.
    A model's failures are part of the result and stop nothing. The requests have the priority `batch`.

    Args:
        router: Whose policy has the models.
        prompts: A JSONL file, or its lines as dicts; see `docs/compare.md`.
        models: Names of the policy; the others are held against the first.
        judge: Scores every answer, or the dotted name of what does; may be a coroutine function.
        schema: A JSON schema that answers must fit; in the place of a judge.
        hints: Keywords for every request that says nothing of them: task, residency, tenant, ...
        concurrency: Requests under way at once.
        on_progress: Called as answers come.

    Raises:
        InvalidRequest: If an argument is not what it may be, or a line of the file is no prompt.
        BulkFileError: If the file cannot be read.
    """
    named = _checked(router, models)
    if judge is not None and schema is not None:
        raise InvalidRequest("judge and schema: give one of them; a schema is a judge")
    asked = _read(prompts)
    score = _scorer(judge, schema)
    columns = []
    progress = _Told(on_progress, total=len(asked) * len(named))
    for model in named:
        given = [
            (str(place), {**(hints or {}), **one.request, "model": model})
            for place, one in enumerate(asked)
        ]
        column: list[Answered] = []
        async with router.map(given, concurrency=concurrency, total=len(given)) as job:
            async for result in job:
                prompt = asked[result.index]
                answered = _answered(result, prompt.key, model)
                if score is not None and answered.text is not None:
                    answered = replace(answered, score=await score(prompt, answered.text))
                column.append(answered)
                progress.step(model, answered)
        columns.append(column)
    return compared(
        named,
        zip(*columns, strict=True),
        expected={one.key: one.expected for one in asked if one.expected is not None},
        prompts={one.key: _last_words(one.request) for one in asked},
    )


def prompts_of(path: str | Path) -> list[Prompt]:
    """Return the prompts of a JSONL file.

    Raises:
        InvalidRequest: If it cannot be read, has no prompts, two with one key, or a line is none.
    """
    found: dict[str, Prompt] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")  # others may stand in a text
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InvalidRequest(f"{path}: {why}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        prompt = read_prompt(line, number=number)
        if isinstance(prompt, str):
            raise InvalidRequest(f"{path}:{number}: the line {prompt}")
        if prompt.key in found:
            raise InvalidRequest(f"{path}:{number}: the key {prompt.key!r} stands on two lines")
        found[prompt.key] = prompt
    if not found:
        raise InvalidRequest(f'{path}: holds no prompts; write lines such as {{"prompt": "Hello"}}')
    return list(found.values())


def _read(prompts: str | Path | Iterable[Mapping[str, Any] | Prompt]) -> list[Prompt]:
    if isinstance(prompts, str | Path):
        return prompts_of(prompts)
    import json

    found = []
    for number, one in enumerate(prompts, start=1):
        prompt = (
            one if isinstance(one, Prompt) else read_prompt(json.dumps(dict(one)), number=number)
        )
        if isinstance(prompt, str):
            raise InvalidRequest(f"prompts: number {number} {prompt}")
        found.append(prompt)
    if not found:
        raise InvalidRequest("prompts: there are none")
    return found


def _checked(router: Router, models: Sequence[str]) -> tuple[str, ...]:
    if isinstance(models, str) or len(models) < 2 or len(set(models)) < len(models):
        raise InvalidRequest(f"models: give two or more, each once; got {models!r}")
    for name in models:
        if name not in router.policy.candidates:
            known = ", ".join(router.policy.candidates)
            raise InvalidRequest(
                f"models: {name!r} is not in policy {router.policy.name!r}; known: {known}"
            )
    return tuple(models)


def _answered(result: BulkResult, key: str, model: str) -> Answered:
    receipt = result.receipt
    if result.error is not None:
        text = f"{type(result.error).__name__}: {result.error}"
        return Answered(key, model, error=text[:_SHOWN_CHARS], receipt=receipt)
    message = result.answer.choices[0].message
    text = message.content or message.refusal or ""
    if not text and message.tool_calls:
        text = str([call.to_dict() for call in message.tool_calls])
    return Answered(key, model, text=text, receipt=receipt)


def _scorer(
    judge: Judge | str | None, schema: Any
) -> Callable[[Prompt, str], Awaitable[float | None]] | None:
    if schema is not None:
        from hybridllm._adapters.json_schemas import fits_schema

        fits = fits_schema(schema)

        async def by_schema(_prompt: Prompt, text: str) -> float:
            return float(fits(text))

        return by_schema
    if judge is None:
        return None
    given = _judge(judge)

    async def by_judge(prompt: Prompt, text: str) -> float | None:
        verdict = given(prompt.request, text, prompt.expected)
        if inspect.isawaitable(verdict):
            verdict = await verdict
        if verdict is None:
            return None
        number = isinstance(verdict, bool | int | float)
        if not number or not 0 <= verdict <= 1:
            raise InvalidRequest(
                f"judge: returned {verdict!r} for prompt {prompt.key!r}; a score is a number from 0 to 1, "
                "True, False, or None for no verdict"
            )
        return float(verdict)

    return by_judge


def _judge(judge: Judge | str) -> Judge:
    if not isinstance(judge, str):
        return judge
    from hybridllm._adapters.dotted_names import function_named

    found = function_named(judge)
    if isinstance(found, str):
        raise InvalidRequest(f"judge: {found}")
    return found


class _Told:
    """Tells how far it is."""

    def __init__(self, tell: Callable[[CompareProgress], object] | None, *, total: int) -> None:
        self._tell = tell
        self._total = total
        self._done = 0
        self._cost_usd = Decimal(0)

    def step(self, model: str, answered: Answered) -> None:
        self._done += 1
        if answered.receipt is not None and answered.receipt.cost_usd is not None:
            self._cost_usd += answered.receipt.cost_usd
        if self._tell is not None:
            self._tell(CompareProgress(model, self._done, self._total, self._cost_usd))


def _last_words(request: Mapping[str, Any]) -> str:
    """What was asked last, for people who look at the answers."""
    content = (
        request["messages"][-1].get("content") if isinstance(request["messages"][-1], dict) else ""
    )
    if isinstance(content, list):
        content = " ".join(
            str(part.get("text", "[...]")) for part in content if isinstance(part, dict)
        )
    return str(content or "")[:_SHOWN_CHARS]


def shadow_report(
    ledger: str | Path, *, since: str | None = "30d", until: str | None = None
) -> list[ShadowSummary]:
    """Return what the shadow traffic in a ledger tells, by route and models.

    Args:
        ledger: An SQLite file's path, or a database's URL.
        since: `30d`, `2026-11-01`, `2026-11`, `last month`; None: from the beginning.
        until: A time like that, itself left out; None: until now, or where the period `since` ends.

    Raises:
        LedgerError: If it cannot be read.
        ValueError: If a time is none.
    """
    from hybridllm._adapters.ledger.reader import LedgerReader

    time = period(since, until, now_us=microseconds(utc_now()))
    return shadow_summaries(LedgerReader(ledger).requests(*time))
