"""Overflows that never happen, and what is said of a backend that it does not have.

What a policy says of load is only worth something if somebody tells that load: a vLLM tells its queue and its
KV cache, a hosted API tells neither, and says 429 where one's own server queues.
"""

from __future__ import annotations

from collections.abc import Iterable

from hybridllm._core.policy.compiled import Backend, Candidate, Policy, Route
from hybridllm._core.policy.document import (
    Findings,
    Node,
    Path,
    child,
    found,
    items,
    key_place,
    listed,
    quoted,
    texts,
)
from hybridllm._core.policy.hybrid import BreakEven, Cause, Overflow, Trigger
from hybridllm._core.policy.references_hybrid import live_under

_OF_OWN_SERVERS = ("queue_depth", "kv_cache_pct", "stale_after")


def tell_hybrid_doubts(policy: Policy, root: Node, findings: Findings) -> None:
    """Tell of overflows that cannot happen, and of words about load that have no effect."""
    doubts = _HybridDoubts(policy, root, findings)
    for name, backend in policy.backends.items():
        doubts.backend(backend, ("backends", name))
    for index, route in enumerate(policy.routes):
        for number, overflow in enumerate(route.overflows):
            doubts.overflow(route, overflow, ("routes", index, "overflow", number))
    doubts.break_even()


class _HybridDoubts:
    def __init__(self, policy: Policy, root: Node, findings: Findings) -> None:
        self._policy = policy
        self._root = root
        self._findings = findings

    def backend(self, backend: Backend, path: Path) -> None:
        """Tell of what is said of a hosted API that is true of one's own servers only."""
        if backend.own:
            return
        if backend.cold_start is not None:
            self._warn(
                (*path, "cold_start"),
                f"a hosted API does not sleep, so that cold_start of {backend.name!r} has no effect; it is "
                "for servers of your own (kind: vllm, or operator: self)",
            )
        said = found(self._root, (*path, "saturation"))
        for key in _OF_OWN_SERVERS:
            if child(said, key) is not None:
                self._warn(
                    (*path, "saturation", key),
                    f"a hosted API tells neither its queue nor its KV cache, so that {key} of "
                    f"{backend.name!r} has no effect; write max_inflight, or concurrency",
                )

    def overflow(self, route: Route, overflow: Overflow, path: Path) -> None:
        """Tell of an overflow that names whom its route never asks, or that nothing can ever cause."""
        asked = {one.backend.name for use in route.use for one in use.candidates}
        fits = True
        for side in ("from", "to"):
            for scalar, where in texts(child(found(self._root, path), side), (*path, side)):
                if scalar.value not in asked:
                    fits = False
                    hint = self._findings.hint(str(scalar.value), asked)
                    message = (
                        f"backend {quoted(scalar.written)} is never asked on route {route.name!r}, and an "
                        f"overflow adds nobody; name it in `use` or `fallbacks`; asked are: {listed(asked)}"
                        f"{hint}"
                    )
                    self._findings.error(scalar.place, where, message)
        if fits:
            self._causes(route, overflow, (*path, "when"))
            self._back(route, overflow, path)

    def _back(self, route: Route, overflow: Overflow, path: Path) -> None:
        """Tell of an overflow that leads back: of two, the later one says who is asked first."""
        for earlier in route.overflows[: route.overflows.index(overflow)]:
            back = sorted(set(earlier.to).intersection(overflow.sources))
            forth = sorted(set(earlier.sources).intersection(overflow.to))
            if back and forth:
                message = (
                    f"leads from {listed(back)} back to {listed(forth)}, which an overflow before leaves for "
                    f"{listed(back)}: the later one puts {listed(back)} first while nobody is hot, so that "
                    "the earlier has no effect; keep one of them"
                )
                self._warn(path, message)
                return

    def _causes(self, route: Route, overflow: Overflow, path: Path) -> None:
        sources = [self._policy.backends[name] for name in overflow.sources]
        candidates = [one for use in route.use for one in use.candidates]
        never = {
            source.name: [_never(cause, source, candidates) for cause in overflow.causes]
            for source in sources
        }
        stuck = [name for name, reasons in never.items() if all(reasons)]
        for name in stuck:
            reasons = list(dict.fromkeys(reason for reason in never[name] if reason))
            if len(stuck) == len(sources):
                message = f"never holds: {'; '.join(reasons)}"
                self._findings.error(key_place(self._root, path), path, message)
                return
            self._warn(
                path,
                f"never holds for {name!r}, so that no request that may use it overflows: "
                f"{'; '.join(reasons)}",
            )
        for number, cause in enumerate(overflow.causes):
            whys = [never[source.name][number] for source in sources if source.name not in stuck]
            if all(whys):
                self._warn((*path, cause.trigger.value), f"never holds: {whys[0]}")
            elif all(source.own for source in sources) and (why := _unlikely(cause)):
                self._warn((*path, cause.trigger.value), why)

    def break_even(self) -> None:
        """Tell of break-evens that nothing can be weighed against: no hosted API has a price."""
        if any(self._policy.list_prices.values()):
            return
        if not any(isinstance(one, BreakEven) for one in self._policy.live):
            return
        for section in ("routes", "constraints"):
            for index, rule in enumerate(items(child(self._root, section))):
                for key, entry, where in live_under(child(rule, "when"), (section, index, "when")):
                    if key == "break_even":
                        message = (
                            "never holds: no price of a hosted API is known that the own machines could be "
                            "weighed against; give its models a price"
                        )
                        self._findings.warn(entry.key_place, where, message)

    def _warn(self, path: Path, message: str) -> None:
        self._findings.warn(key_place(self._root, path), path, message)


def _never(cause: Cause, backend: Backend, candidates: Iterable[Candidate]) -> str | None:
    """Return why a cause can never hold for a backend; None: it can."""
    name = backend.name
    if cause.trigger is Trigger.KV_CACHE and not backend.own:
        return f"a hosted API such as {name!r} does not tell its KV cache"
    limit = backend.concurrency or backend.saturation.in_flight_max
    if cause.trigger is Trigger.SATURATED and not backend.own and limit is None:
        return (
            f"nothing says when {name!r} is saturated; write under backends its concurrency, or "
            "saturation: {max_inflight: 64}"
        )
    if cause.trigger is Trigger.BUDGET and cause.per is not None:
        prices = [one.price for one in candidates if one.backend is backend]
        if not any(price and (price.usd_per_mtok_in or price.usd_per_mtok_out) for price in prices):
            known = "its tokens are free" if any(prices) else "no price of it is known"
            return f"{name!r} costs nothing that could be counted: {known}"
    return None


def _unlikely(cause: Cause) -> str | None:
    """Return what is odd about a cause to leave one's own servers."""
    if cause.trigger is Trigger.RATE_LIMITED:
        return (
            "servers of your own queue, they do not say 429; write saturated or predicted_wait_ms"
        )
    if cause.trigger is Trigger.BUDGET and cause.per is None:
        return "servers of your own know no credit that could be used up; write {usd: 50, per: day}"
    return None
