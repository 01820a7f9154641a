"""A router whose budgets are in a file, over scripted backends, in real time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hybridllm import Router
from hybridllm.testing import Reply, ScriptedWire
from runtime.world import KEY, MESSAGES, policy

TOKENS = 1_000_000
DAILY = "{name: daily, scope: all, usd: 5, per: day}"
"""Of which a call with as many tokens costs 2 USD, and a little for its prompt."""


def shared(
    file: Path, *, takes_s: float = 0.0, budgets: str = DAILY, answer: Reply | None = None
) -> Router:
    """A router that shares its budgets with whoever has the same file."""
    reply = answer or Reply.chat("yes", usage=(20, TOKENS))
    return Router.from_text(
        policy("eu", more=f"budgets: [{budgets}]"),
        environ={"KEY": KEY},
        wire=ScriptedWire({"eu.test": reply.after(takes_s) if takes_s else reply}),
        ledger=file,
    )


async def two_usd(router: Router, **params: Any) -> Any:
    """A call that costs as much as it may."""
    return await router.chat.completions.create(
        **{"messages": MESSAGES, "task": "t", "max_tokens": TOKENS} | params
    )
