"""An application's own checks, as a policy may name them."""

from __future__ import annotations

from typing import Any

from hybridllm import CascadeAnswer

SEEN: list[CascadeAnswer] = []
NUMBER = 5


def doubts(answer: CascadeAnswer) -> bool:
    """True for an answer that says so itself."""
    SEEN.append(answer)
    return "perhaps" in answer.text


def raises(answer: CascadeAnswer) -> bool:
    raise RuntimeError(f"a bug, with {answer.text} in it")


def says_text(answer: CascadeAnswer) -> Any:
    return answer.text


async def awaits(answer: CascadeAnswer) -> bool:
    return False


def returns_coroutine(answer: CascadeAnswer) -> Any:
    return awaits(answer)
