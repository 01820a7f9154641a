"""What several models made of the same prompts: cost, latency, agreement, answers side by side; as values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hybridllm._core.compare.agreement import agree
from hybridllm._core.latency import nearest_rank
from hybridllm._core.receipt import Receipt

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model made of one prompt.

    Attributes:
        text: The answer; None: there is none.
        error: Why there is none, as its class and message.
        score: What the judge gives it, 0 to 1; None: nobody judged.
        receipt: None: it was not decided on.
    """

    key: str
    model: str
    text: str | None = field(default=None, repr=False)
    error: str | None = None
    score: float | None = None
    receipt: Receipt | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        told = {name: getattr(self, name) for name in ("key", "model", "text", "error", "score")}
        receipt = self.receipt
        served = receipt.served if receipt is not None else None
        return told | {
            "backend": served.backend if served is not None else None,
            "cost_usd": None if receipt is None else _money(receipt.cost_usd),
            "duration_s": None if receipt is None else receipt.duration_s,
        }


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model over all prompts.

    Attributes:
        cost_usd: Of all its attempts, as far as known; `unknown`: requests of which not all is known.
        usd_per_answer: None: there is no answer, or nothing is known.
        latency_s: (p50, p99) to a whole answer; None: there is none.
        agreement: Share of the prompts that both answered on which it says the same as the first model; None:
            there are none.
        expected: Share of the prompts with an expected answer on which it says that; None: there are none.
        score: The mean of the judge's; None: nobody judged.
    """

    model: str
    asked: int
    answered: int
    cost_usd: Decimal
    unknown: int
    usd_per_answer: Decimal | None
    tokens_in: int
    tokens_out: int
    latency_s: tuple[float, float] | None
    agreement: float | None
    expected: float | None
    score: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; money as text."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        told["cost_usd"] = _money(self.cost_usd)
        told["usd_per_answer"] = _money(self.usd_per_answer)
        latency = self.latency_s
        told["latency_s"] = None if latency is None else {"p50": latency[0], "p99": latency[1]}
        return told


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several models over the same prompts.

    Attributes:
        models: In the order asked for; the others are held against the first.
        rows: Of each prompt, what each model made of it, in the order of `models`.
        prompts: The text that was last asked, by key: for whoever looks at the answers.
    """

    models: tuple[ModelSummary, ...]
    rows: tuple[tuple[Answered, ...], ...] = field(repr=False)
    prompts: dict[str, str] = field(default_factory=dict, repr=False)

    def to_dict(self, *, answers: bool = True) -> dict[str, Any]:
        """Return it ready for JSON."""
        told: dict[str, Any] = {"models": [one.to_dict() for one in self.models]}
        if answers:
            told["answers"] = [
                {"key": row[0].key, "by_model": [one.to_dict() for one in row]} for row in self.rows
            ]
        return told


def compared(
    models: Sequence[str],
    rows: Iterable[tuple[Answered, ...]],
    *,
    expected: dict[str, str],
    prompts: dict[str, str],
) -> Comparison:
    """Add up what the models made of the prompts."""
    whole = tuple(rows)
    summaries = tuple(_summary(model, place, whole, expected) for place, model in enumerate(models))
    return Comparison(summaries, whole, prompts)


def _summary(
    model: str, place: int, rows: Sequence[tuple[Answered, ...]], expected: dict[str, str]
) -> ModelSummary:
    mine = [row[place] for row in rows]
    good = [one for one in mine if one.text is not None]
    receipts = [one.receipt for one in mine if one.receipt is not None]
    cost = sum((r.cost_usd for r in receipts if r.cost_usd is not None), _NOTHING)
    known = any(r.cost_usd is not None for r in receipts)
    usages = [a.usage for r in receipts for a in r.attempts if a.usage is not None]
    durations = sorted(one.receipt.duration_s for one in good if one.receipt is not None)
    both = [
        agree(str(row[0].text), str(row[place].text))
        for row in rows
        if row[0].text is not None and row[place].text is not None
    ]
    told = [agree(str(one.text), expected[one.key]) for one in good if one.key in expected]
    scores = [one.score for one in mine if one.score is not None]
    return ModelSummary(
        model=model,
        asked=len(mine),
        answered=len(good),
        cost_usd=cost,
        unknown=sum(not r.cost_complete for r in receipts),
        usd_per_answer=cost / len(good) if good and known else None,
        tokens_in=sum(usage.input_tokens for usage in usages),
        tokens_out=sum(usage.output_tokens for usage in usages),
        latency_s=(nearest_rank(durations, 50), nearest_rank(durations, 99)) if durations else None,
        agreement=_share(both),
        expected=_share(told),
        score=sum(scores) / len(scores) if scores else None,
    )


def _share(found: Sequence[bool]) -> float | None:
    return sum(found) / len(found) if found else None


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
