"""What a backtest assumed, in words: only what had a say in its result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hybridllm._core.backtest.drawn import Drawn
from hybridllm._core.backtest.groups import Alike
from hybridllm._core.backtest.judge import Destination, Kind
from hybridllm._core.backtest.seen import SeenAll
from hybridllm._core.policy.compiled import Policy


def notes_of(
    groups: Iterable[Alike], drawn: Drawn, policy: Policy, seen: SeenAll
) -> tuple[str, ...]:
    """Return the assumptions of a report."""
    return tuple(_notes(list(groups), drawn, policy, seen))


def _notes(groups: list[Alike], drawn: Drawn, policy: Policy, seen: SeenAll) -> Iterator[str]:
    moved = [group for group in groups if group.same.verdict.kind is Kind.MOVED]
    targets = [target for group in moved for target in group.same.verdict.targets]
    if moved:
        yield (
            "who is asked first now is taken to be as well, as fast and as busy as the ledger has seen "
            "him; at most as many fail as failed there"
        )
    names = {target.candidate.name for target in targets}
    unseen = sorted(name for name in names if seen.of(name, None) is None)
    if unseen:
        yield (
            f"hardly seen in this ledger: {', '.join(unseen)}; tokens there are taken as recorded, an "
            "answer half to twice as long, and how long it takes is not known"
        )
    if any(target.spill is not None for target in targets):
        yield (
            "whether a backend has room for what moves there is not known: the bounds are from all of it "
            "staying to all of it overflowing"
        )
    yield from _of_recorded(groups, drawn)
    yield from _of_money(groups, policy, targets)


def _of_recorded(groups: list[Alike], drawn: Drawn) -> Iterator[str]:
    full = sum(group.requests for group in groups if group.same.verdict.full)
    if full:
        yield (
            f"{full} requests go elsewhere because a backend had too much to do then; a ledger does not "
            "say how much, so another bound of an overflow changes nothing here"
        )
    assumed = sum(group.requests for group in groups if group.same.verdict.assumed)
    if assumed:
        yield (
            f"{assumed} requests keep their route because the ledger does not hold what a condition looks "
            "at (volume, break-even, metadata that is not attributed): it is taken to have been as recorded"
        )
    if drawn.reweighed:
        yield "a split drew otherwise than its weights say now: as many move as that takes"


def _of_money(groups: list[Alike], policy: Policy, targets: list[Destination]) -> Iterator[str]:
    if policy.budgets:
        stand = sum(group.requests for group in groups if group.same.verdict.budget)
        yield (
            f"budgets are not kept again: what they refused or took out stays so ({stand} requests stand "
            "because of that), and nothing more is refused"
        )
    checked = any(group.same.verdict.checked for group in groups)
    never = not any(group.same.verdict.escalated for group in groups)
    if (checked and never) or any(target.then is not None for target in targets):
        yield (
            "a ledger holds no answers: what a cascade has not checked yet escalates nothing here; of "
            "requests that move, the upper bound is that every answer escalates"
        )
    unpriced = sum(group.unpriced_now for group in groups)
    if unpriced:
        yield f"{unpriced} attempts have no known cost; sums are of the others"
    moved = (group for group in groups if group.same.verdict.kind is Kind.MOVED)
    if any(group.same.cache for group in moved):
        yield (
            "answers of the response cache are taken to come from it still; at most, all of them are paid"
        )
    if any(backend.capacity is not None for backend in policy.backends.values()):
        yield (
            "machines that are paid by the month cost the same whatever goes there: they are not in these "
            "sums"
        )
