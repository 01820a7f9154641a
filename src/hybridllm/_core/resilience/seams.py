"""Going on with a stream that broke after its first token: whether, by whom, with which request.

Owns the rules of `on_interrupt: continue` and the two events that a reader is given at a seam. Knows nothing
of attempts, tasks or time. The rule a newcomer would break first: what might change the form of the answer
is refused, not ignored; a field that is not known here may be a grammar, and half of it is not its rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hybridllm._core.decide.plan import Kept
from hybridllm._core.request.read import Call
from hybridllm._core.request.tokens import MESSAGE_TOKENS, text_tokens

_LIMITS = ("max_tokens", "max_completion_tokens")
_CONTINUABLE_FIELDS = frozenset(
    {
        # OpenAI's: who and how, none of which changes what kind of text the answer is
        "frequency_penalty", "logit_bias", "max_completion_tokens", "max_tokens", "messages", "n",
        "presence_penalty", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "reasoning_effort", "safety_identifier", "seed", "service_tier", "stop", "store", "stream_options",
        "temperature", "top_p", "user", "verbosity",
        # vLLM's
        "allowed_token_ids", "bad_words", "cache_salt", "chat_template", "chat_template_kwargs", "ignore_eos",
        "length_penalty", "min_p", "min_tokens", "priority", "repetition_penalty", "stop_token_ids", "top_k",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Restarted:
    """An item of a stream: its backend broke, and the answer begins anew. What came before is void.

    Only a call with `on_interrupt="restart"` gets it, once for each break, between the chunks.

    Attributes:
        backend: Whose chunks follow.
        model: The logical model that answers now; it may be another one.
        cause: Why the stream before it broke, as in `StreamInterrupted`.
        discarded_text: The text of the first choice that is void.
        discarded_tokens: About how many tokens are: chunks with output, or the backend's own count.
    """

    backend: str
    model: str
    cause: str
    discarded_text: str = field(repr=False)
    discarded_tokens: int


@dataclass(frozen=True, slots=True)
class Continued:
    """An item of a stream: its backend broke, and another attempt goes on where it stopped.

    Only a call with `on_interrupt="continue"` gets it, once for each break, between the chunks. What came
    before stays; what follows is new text only.

    Attributes:
        backend: Whose chunks follow.
        model: The logical model; the same as before.
        cause: Why the stream before it broke, as in `StreamInterrupted`.
        kept_text: The text so far, which the reader has and the new attempt was given.
        kept_tokens: About how many tokens it has: chunks with output, or the backend's own count.
    """

    backend: str
    model: str
    cause: str
    kept_text: str = field(repr=False)
    kept_tokens: int


@dataclass(frozen=True, slots=True)
class Said:
    """What the reader of a stream has of one answer, whoever gave it.

    Attributes:
        tokens: Chunks that carried output, about as many tokens; or the backend's own count, if it sent one.
        plain: True if all output was text of the first choice.
        ended: True if the answer had a finish_reason already: there is nothing to go on with.
    """

    text: str = field(default="", repr=False)
    tokens: int = 0
    plain: bool = True
    ended: bool = False

    @property
    def prefix(self) -> str:
        """The text as a backend is given it to go on with.

        Chat templates may strip the white space at its end, so it is never sent: the same prompt comes of it
        everywhere, and the model writes that white space again (see `fresh_text`).
        """
        return self.text.rstrip()

    @property
    def space(self) -> str:
        """The white space at its end, which the reader has and must not get again."""
        return self.text[len(self.prefix) :]

    def then(self, more: Said) -> Said:
        """Return this and what followed it, as one."""
        return Said(
            self.text + more.text, self.tokens + more.tokens, self.plain and more.plain, more.ended
        )


def not_continuable_because(call: Call, said: Said) -> str | None:
    """Return in words why no backend could go on with an answer, or None if one could."""
    if said.ended:
        return "it had ended"
    if not said.plain:
        return "it is not only text"
    if not said.prefix:
        return "there is no text yet"
    if call.answers != 1:
        return "more than one answer was asked for"
    for name, value in call.body.items():
        if name not in _CONTINUABLE_FIELDS and not _says_nothing(name, value):
            return f"{name} was asked for"
    if any(_left(call.body.get(name), said) == 0 for name in _LIMITS):
        return "it had all the tokens that were asked for"
    return None


def continued(call: Call, said: Said) -> Call:
    """Return the call that asks a backend to go on with an answer; `call` itself is not changed."""
    body = dict(call.body)
    message = {"role": "assistant", "content": said.prefix}
    body["messages"] = [*body["messages"], message]
    body["continue_final_message"] = True
    body["add_generation_prompt"] = False  # vLLM refuses both at once, and adds one by itself
    for name in (*_LIMITS, "min_tokens"):
        if (left := _left(body.get(name), said)) is not None:
            body[name] = left
    tokens = text_tokens(said.prefix) + MESSAGE_TOKENS
    return replace(
        call,
        body=body,
        input_tokens_estimate=call.input_tokens_estimate + tokens,
        input_tokens_total=call.input_tokens_total + tokens,
        output_tokens_max=_left(call.output_tokens_max, said),
    )


def others_than_continuers(kept: Sequence[Kept], model: str) -> frozenset[int]:
    """Return the places of a plan who cannot go on with an answer of `model`."""
    return frozenset(
        place
        for place, one in enumerate(kept)
        if one.candidate.model.name != model or not one.candidate.backend.prefill
    )


def fresh_text(space: str, text: str) -> tuple[str, str]:
    """Return what is still to be left out, and what of `text` is new.

    Args:
        space: White space that the reader has, and that may come again.
        text: What came.
    """
    same = 0
    while same < min(len(space), len(text)) and space[same] == text[same]:
        same += 1
    fresh = text[same:]
    return ("" if fresh else space[same:]), fresh


def _says_nothing(name: str, value: Any) -> bool:
    """True of a field that is as good as not there: `tools: []`, `logprobs: false`."""
    if name == "response_format" and isinstance(value, dict):
        return value.get("type") == "text"
    return value is None or value is False or value in ("", [], {})


def _left(limit: Any, said: Said) -> int | None:
    """How much of a limit in tokens is left; None if there is none."""
    return max(0, int(limit) - said.tokens) if limit.__class__ in (int, float) else None
