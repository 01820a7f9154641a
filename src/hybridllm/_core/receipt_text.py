"""A receipt for people, and for JSON."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from hybridllm._core.money.drift import drifts

if TYPE_CHECKING:
    from hybridllm._core.money.capacity import FixedCost
    from hybridllm._core.receipt import Attempt, Receipt

_FOUR_DIGITS = Context(prec=4)
_PARTS = ("usage", "price", "fixed", "list_price")


def receipt_dict(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt ready for JSON; money and times of day are texts, durations are seconds."""
    told = {
        name: _told(getattr(receipt, name))
        for name in receipt.__dataclass_fields__
        if name not in ("attempts", "dropped", "candidates", "reasons")
    }
    told["candidates"] = [
        {"candidate": name, "reason": reason}
        for name, reason in zip(receipt.candidates, receipt.reasons, strict=True)
    ]
    told["dropped"] = [{"candidate": name, "reason": reason} for name, reason in receipt.dropped]
    told["attempts"] = [_attempt_dict(attempt) for attempt in receipt.attempts]
    return told


def receipt_text(receipt: Receipt) -> str:
    """Return a receipt in a few lines: the route, each attempt, the cost."""
    residency = " and ".join(receipt.residency_tags) or receipt.residency
    told = {"task": receipt.task, "residency": residency}
    told |= {"tenant": receipt.tenant, "feature": receipt.feature}
    hints = ", ".join(f"{name} {value}" for name, value in told.items() if value is not None)
    lines = [
        f"{receipt.outcome.value}  route {receipt.route} of {receipt.policy}  "
        f"{receipt.duration_s * 1000:.0f} ms  {usd(receipt.cost_usd)}"
        + ("" if receipt.cost_complete else " (not all of it known)")
        + (f"  ({hints})" if hints else "")
    ]
    for attempt in receipt.attempts:
        lines.append(_attempt_line(attempt))
        if attempt.fixed is not None:
            lines.append(_fixed_line(attempt, attempt.fixed))
    if receipt.escalated is not None:
        lines.append(f"  escalated: {receipt.escalated}")
    if receipt.not_escalated is not None:
        lines.append(f"  not escalated: {receipt.not_escalated}")
    if receipt.cascade_saved_usd is not None:
        lines.append(f"  saved by the cascade: {usd(receipt.cascade_saved_usd)}")
    lines += [f"  observed: {what}" for what in receipt.observed]
    if receipt.all_own_usd is not None:
        at_apis = "unknown" if receipt.all_api_usd is None else usd(receipt.all_api_usd)
        lines.append(
            f"  all of it on own machines: {_about(receipt.all_own_usd)}; at APIs: {at_apis}"
        )
    if receipt.cost_wasted_usd:
        lines.append(f"  wasted on failed attempts: {usd(receipt.cost_wasted_usd)}")
    return "\n".join(lines)


def usd(amount: Decimal | None) -> str:
    """Return an amount as people read it: `$0.000123`; every digit that is there, no exponent."""
    if amount is None:
        return "cost unknown"
    text = f"{amount:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"${text}"


def _attempt_line(attempt: Attempt) -> str:
    where = f"{attempt.backend}/{attempt.model}"
    end = attempt.error or attempt.outcome.value
    parts = [f"  {attempt.number}. {where}", attempt.reason.value, end]
    parts.append(f"{attempt.duration_s * 1000:.0f} ms")
    if attempt.first_token_s is not None:
        parts.append(f"first token {attempt.first_token_s * 1000:.0f} ms")
    if attempt.usage is not None:
        about = "about " if attempt.usage.source.value == "estimated" else ""
        cached = attempt.usage.cached_input_tokens
        kept = f" ({cached} cached)" if cached else ""
        parts.append(
            f"{about}{attempt.usage.input_tokens}{kept} + {attempt.usage.output_tokens} tokens"
        )
    if attempt.cost_usd is not None:
        by = attempt.price.price_id if attempt.price is not None else "as its backend says"
        parts.append(f"{usd(attempt.cost_usd)} ({by})")
        if drifts(attempt.cost_usd, attempt.provider_cost_usd):
            parts.append(f"its backend says {usd(attempt.provider_cost_usd)}")
    elif attempt.maybe_billed:
        parts.append("cost unknown")
    return "  ".join(parts)


def _fixed_line(attempt: Attempt, fixed: FixedCost) -> str:
    """What a token costs where money is paid by the month, and what it would have cost elsewhere."""
    parts = []
    if fixed.utilisation is not None:
        parts.append(f"{fixed.utilisation * 100:.0f} % used")
    if fixed.average_usd_per_mtok is not None:
        parts.append(f"{_about(fixed.average_usd_per_mtok)} per 1M tokens on average")
    if fixed.marginal_usd_per_mtok is not None:
        parts.append(f"1M more would add {_about(fixed.marginal_usd_per_mtok)}")
    elif not fixed.has_room:
        parts.append("no room for more")
    if attempt.list_cost_usd is not None and attempt.list_price is not None:
        parts.append(f"at an API {usd(attempt.list_cost_usd)} ({attempt.list_price.price_id})")
    return f"     paid by the month: {', '.join(parts) or 'not measured yet'}"


def _about(amount: Decimal) -> str:
    """A price that was measured, with as many digits as can be meant."""
    return usd(_FOUR_DIGITS.plus(amount))


def _attempt_dict(attempt: Attempt) -> dict[str, Any]:
    told = {
        name: _told(getattr(attempt, name))
        for name in attempt.__dataclass_fields__
        if name not in _PARTS
    }
    for name in _PARTS:
        part = getattr(attempt, name)
        told[name] = part and {
            inner: _told(getattr(part, inner))
            for inner in part.__dataclass_fields__
            if inner not in attempt.__dataclass_fields__  # what a backend says it cost stands above
        }
    return told


def _told(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.value if hasattr(value, "value") else value
