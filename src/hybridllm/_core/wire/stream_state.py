"""How far a chat stream has come: what has been said, who has finished, whether it is whole.

Fed with chunks in the caller's types (anything with `choices`, `delta`, `finish_reason`); pure.
"""

from __future__ import annotations

from typing import Any

from hybridllm._core.wire.answers import FINISH_REASONS


class StreamState:
    """What a stream's chunks add up to.

    Attributes:
        text: Pieces of the first choice's content.
        tokens_seen: Chunks that carried output; about as many tokens.
        answers: How many choices were asked for.
        spoken: The choices of which output has come.
        service_tier: That its backend says it served with.
        problem: Why it can no longer be a whole answer; None while all is well.
    """

    __slots__ = (
        "answers",
        "finish_reasons",
        "model",
        "problem",
        "response_id",
        "service_tier",
        "spoken",
        "text",
        "tokens_seen",
        "usage",
    )

    def __init__(self, answers: int = 1) -> None:
        self.answers = answers
        self.text: list[str] = []
        self.tokens_seen = 0
        self.finish_reasons: dict[int, str | None] = {}
        self.spoken: set[int] = set()
        self.model: str | None = None
        self.response_id: str | None = None
        self.usage: Any = None
        self.service_tier: str | None = None
        self.problem: str | None = None

    def feed(self, chunk: Any) -> bool:
        """Take in a chunk; True if it carries a semantic token.

        Content, reasoning, refusals, tool calls and sound are semantic; a role, an empty delta or a
        usage report is not.

        A proxy that asks a second time and glues the answers together shows itself: by output that goes
        on after its end, or by a chunk that begins another answer, with a role and an id of its own. A
        server that writes a finish_reason, a role or a new id into every chunk does neither.
        """
        if self.model is None:
            self.model = chunk.model
            self.response_id = chunk.id
            self._tier(chunk)
        if chunk.usage is not None:
            self.usage = chunk.usage
            self._tier(chunk)
        semantic = False
        for choice in chunk.choices:
            index = choice.index
            if index < 0:
                self.problem = "a choice with a negative index"
            reason = choice.finish_reason
            if reason is not None:
                self._finish(index, reason)
            elif index not in self.finish_reasons:
                self.finish_reasons[index] = None
            delta = choice.delta
            content = delta.content
            if content or _other_output(delta):
                semantic = True
                self.spoken.add(index)
                if reason is None and self.finish_reasons[index] is not None:
                    self.problem = "output after a finish_reason"
                if index == 0 and content and content.__class__ is str:
                    self.text.append(content)
            elif index in self.spoken and delta.role and chunk.id != self.response_id:
                self.problem = "another answer began in its middle"
        if semantic:
            self.tokens_seen += 1
        return semantic

    def unsay(self, chunk: Any) -> None:
        """Take back a chunk with output that was fed and is not handed out."""
        self.tokens_seen -= 1
        for choice in chunk.choices:
            content = choice.delta.content
            if choice.index == 0 and content and content.__class__ is str:
                self.text.pop()

    @property
    def plain_text(self) -> bool:
        """True if all output so far was text of the first choice: a piece of it came with every token."""
        return len(self.text) == self.tokens_seen and self.finish_reasons.keys() <= {0}

    def _tier(self, chunk: Any) -> None:
        """Look at the first chunk and at the one with the usage: between them nothing is decided."""
        tier = getattr(chunk, "service_tier", None)
        if tier.__class__ is str:
            self.service_tier = tier

    def _finish(self, index: int, reason: str) -> None:
        self.finish_reasons[index] = reason
        if reason not in FINISH_REASONS:
            self.problem = f"finish_reason {str(reason)[:40]!r}"

    @property
    def complete(self) -> bool:
        """True if every choice that was seen has ended with a reason that means an answer."""
        if self.problem is not None or len(self.finish_reasons) < self.answers:
            return False
        return all(reason is not None for reason in self.finish_reasons.values())

    @property
    def incomplete_because(self) -> str:
        """Why it is not complete, in words."""
        return self.problem or "no finish_reason"


def _other_output(delta: Any) -> bool:
    """Whether a piece without content carries output all the same."""
    if delta.tool_calls or delta.refusal or delta.function_call or delta.audio:
        return True
    extra = delta.model_extra
    return bool(extra) and any(extra.get(name) for name in ("reasoning", "reasoning_content"))
