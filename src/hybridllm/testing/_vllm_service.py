"""How a simulated vLLM serves while it is well, as one value: speeds, slots, cache, sleep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hybridllm.testing._kv import BLOCK_TOKENS

OtherStyle = Literal["sglang", "tgi", "llamacpp"]
MetricsStyle = Literal["vllm"] | OtherStyle
"""Whose names a metrics page uses."""


@dataclass(frozen=True, slots=True)
class VllmService:
    """A vLLM server in a simulated fleet, in the place of a `Service`.

    A prompt is computed at `prefill_tokens_per_s`, one after the other, but for the blocks that the prefix
    cache knows. From the first token on, all that have one go on together: the more there are, the slower
    each is, and the sum approaches `tokens_per_s_max`. The cache remembers prompts, not what was generated;
    `n` is taken as 1, and prompts slow no answers down: there a real server is a little different.

    Attributes:
        slots: Requests that one engine works on at once (`--max-num-seqs`); the others wait.
        tokens_per_s: Speed of an answer that is alone.
        tokens_per_s_max: What all answers of an engine together approach with their number.
        prefill_tokens_per_s: Speed of prompts.
        answer_tokens: Length of an answer, unless the request allows fewer; in the median.
        spread: Sigma of the logarithm of that length; 0: always the same.
        kv_blocks: Size of an engine's KV cache in blocks of 32 tokens (`--num-gpu-blocks-override`).
        context_tokens: Of prompt and answer together; None: as many as the cache can hold.
        queue_max: How many may wait when all slots are taken; one more gets a 503. None: no limit, as
            vLLM has none unless it is told (`--max-num-queued-reqs`, which counts slots and queue together).
        data_parallel: Engines behind the one address, each with its own slots and cache.
        tells_cached: Whether answers tell how much of a prompt was cached (`--enable-prompt-tokens-details`).
        model: What its metrics call the model.
        metrics_style: Whose names its metrics page uses.
        asleep: Whether it sleeps at first.
        asleep_status: What a request is told while it sleeps, by whoever stands before it; None: nobody does,
            the connection is refused.
        woken_by_request: Whether a request wakes it. Its wake URL always does.
        cold_start_s: From waking until it listens.
    """

    slots: int = 8
    tokens_per_s: float = 60.0
    tokens_per_s_max: float = 600.0
    prefill_tokens_per_s: float = 8_000.0
    answer_tokens: int = 64
    spread: float = 0.0
    kv_blocks: int = 2_048
    context_tokens: int | None = None
    queue_max: int | None = None
    data_parallel: int = 1
    tells_cached: bool = True
    model: str = "simulated-model"
    metrics_style: MetricsStyle = "vllm"
    asleep: bool = False
    asleep_status: int | None = None
    woken_by_request: bool = True
    cold_start_s: float = 15.0

    def __post_init__(self) -> None:
        if self.slots < 1 or self.data_parallel < 1 or self.answer_tokens < 1:
            raise ValueError(
                "slots, data_parallel and answer_tokens are 1 or more: "
                f"{self.slots}, {self.data_parallel}, {self.answer_tokens}"
            )
        if not 0 < self.tokens_per_s <= self.tokens_per_s_max or not self.prefill_tokens_per_s > 0:
            raise ValueError(
                "speeds are above 0, and one answer alone is no faster than all together: "
                f"{self.tokens_per_s}, {self.tokens_per_s_max}, {self.prefill_tokens_per_s} tokens/s"
            )
        if self.kv_blocks < 2 or self.room_tokens < (self.context_tokens or 2):
            raise ValueError(
                f"a context of {self.context_tokens} tokens does not fit into {self.kv_blocks} blocks of "
                f"{BLOCK_TOKENS} tokens, of which vLLM keeps one"
            )

    @property
    def room_tokens(self) -> int:
        """How many tokens an engine's cache can hold."""
        return (self.kv_blocks - 1) * BLOCK_TOKENS

    def tokens_per_s_each(self, batch: int) -> float:
        """Return the speed of each of so many answers that go on together."""
        return 1 / (1 / self.tokens_per_s + (batch - 1) / self.tokens_per_s_max)

    @property
    def tokens_per_s_full(self) -> float:
        """What it generates with all slots of all engines at work, prompts not counted: its capacity."""
        return self.slots * self.tokens_per_s_each(self.slots) * self.data_parallel
