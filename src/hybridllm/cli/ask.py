"""`hybridllm ask`: one prompt, its answer as it comes, and the receipt below."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridllm.cli import hints
from hybridllm.cli.borders import errors_told
from hybridllm.cli.output import keep_logs_quiet, print_json, receipt_lines
from hybridllm.cli.policy_files import policy_path

if TYPE_CHECKING:
    from hybridllm import Router

_CONTROL = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


def ask(
    policy: hints.Policy,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="What to ask; `-`, or nothing if something is piped in: read standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="System message before it.")
    ] = None,
    task: hints.Task = None,
    residency: hints.Residency = None,
    tenant: hints.Tenant = None,
    feature: hints.Feature = None,
    session: hints.Session = None,
    priority: hints.Priority = None,
    tags: hints.Tags = None,
    metadata: hints.Metadata = None,
    model: hints.Model = None,
    environment: hints.Environment = None,
    max_tokens: hints.MaxTokens = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0, metavar="X", help="As OpenAI has it.")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", min=0, metavar="SECONDS", help="For everything.")
    ] = None,
    max_cost: hints.MaxCost = None,
    stream: Annotated[
        bool, typer.Option("--stream/--no-stream", help="Print the answer as it comes, or at once.")
    ] = True,
    as_json: hints.AsJson = False,
) -> None:
    """Ask one prompt; print the answer and its receipt.

    The answer goes to standard output and everything else to standard error, so that piping works.
    """
    path = policy_path(policy)
    request = {
        "messages": _messages(system, _text_of(prompt)),
        "task": task,
        "residency": residency,
        "tenant": tenant,
        "feature": feature,
        "session": session,
        "priority": priority,
        "tags": hints.listed(tags) or None,
        "metadata": hints.pairs("--metadata", metadata or ()) or None,
        "model": model,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "deadline_s": deadline,
        "max_cost_usd": max_cost,
    }
    given = {name: value for name, value in request.items() if value is not None}
    answer = _print_json if as_json else _print_stream if stream else _print_reply
    keep_logs_quiet()
    with errors_told(as_json=as_json):
        asyncio.run(_ask(path, environment, given, answer))


async def _ask(
    path: Path,
    environment: str | None,
    request: dict[str, Any],
    answer: Callable[[Router, dict[str, Any]], Awaitable[None]],
) -> None:
    from hybridllm import Router

    async with Router.from_file(path, environment=environment) as router:
        await answer(router, request)


async def _print_stream(router: Router, request: dict[str, Any]) -> None:
    stream = await router.chat.completions.create(**request, stream=True)
    last = ""
    try:
        async with stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    piece = choice.delta.content or choice.delta.refusal or ""
                    last = piece or last
                    sys.stdout.write(_harmless(piece))
                sys.stdout.flush()
    finally:
        # What comes next, receipt or error, begins on a line of its own.
        sys.stdout.write("" if last.endswith("\n") else "\n")
        sys.stdout.flush()
    receipt_lines(stream.receipt)


async def _print_reply(router: Router, request: dict[str, Any]) -> None:
    from hybridllm import receipt

    reply = await router.chat.completions.create(**request)
    typer.echo(_harmless(_text(reply)))
    receipt_lines(receipt(reply))


async def _print_json(router: Router, request: dict[str, Any]) -> None:
    from hybridllm import receipt

    reply = await router.chat.completions.create(**request)
    print_json(
        {
            "ok": True,
            "text": _text(reply),
            "finish_reason": reply.choices[0].finish_reason,
            "receipt": receipt(reply).to_dict(),
        }
    )


def _text(reply: Any) -> str:
    message = reply.choices[0].message
    return message.content or message.refusal or ""


def _harmless(text: str) -> str:
    """Keep a model's words from steering a terminal: control characters but tab and newline go."""
    return text.translate(_CONTROL) if sys.stdout.isatty() else text


def _messages(system: str | None, prompt: str) -> list[dict[str, str]]:
    messages = [{"role": "user", "content": prompt}]
    return [{"role": "system", "content": system}, *messages] if system else messages


def _text_of(prompt: str | None) -> str:
    """Return the prompt given, or what is piped in."""
    if prompt is None and sys.stdin.isatty():
        raise typer.BadParameter(
            "no prompt: give one, as in `hybridllm ask POLICY 'Hello'`, or pipe it in"
        )
    text = sys.stdin.read() if prompt in (None, "-") else prompt
    if text is None or not text.strip():
        raise typer.BadParameter("the prompt is empty")
    return text
