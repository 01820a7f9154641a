"""Cascades that cannot work as they are written, and checks that are never made."""

from __future__ import annotations

from hybridllm._core.cascade.rule import Cascade
from hybridllm._core.policy.compiled import Candidate, Capability, Policy, Route
from hybridllm._core.policy.conditions import Flag
from hybridllm._core.policy.document import (
    Findings,
    Node,
    Path,
    key_place,
    listed,
    quoted,
    value_place,
)


def tell_cascade_doubts(policy: Policy, root: Node, findings: Findings) -> None:
    """Tell of cascades whose models are not on their route, that save nothing, or check nothing."""
    for index, route in enumerate(policy.routes):
        if route.cascade is not None:
            path: Path = ("routes", index, "cascade")
            _CascadeDoubts(route, route.cascade, root, path, findings).tell()


class _CascadeDoubts:
    def __init__(
        self, route: Route, cascade: Cascade, root: Node, path: Path, findings: Findings
    ) -> None:
        self._route = route
        self._cascade = cascade
        self._root = root
        self._path = path
        self._findings = findings
        self._asked = [one for use in route.use for one in use.candidates]

    def tell(self) -> None:
        if not self._on_the_route():
            return
        self._embeds()
        self._order()
        self._prices()
        self._checks()

    def _warn(self, key: str, message: str) -> None:
        path = (*self._path, *key.split("."))
        self._findings.warn(key_place(self._root, path), path, message)

    def _on_the_route(self) -> bool:
        names = {one.model.name for one in self._asked}
        right = True
        for side in ("first", "then"):
            name = getattr(self._cascade, side)
            if name not in names:
                right = False
                path = (*self._path, side)
                message = (
                    f"model {quoted(name)} is never asked on route {self._route.name!r}, and a cascade adds "
                    f"nobody; name it in `use` or `fallbacks`; asked are: {listed(names)}"
                    f"{self._findings.hint(name, names)}"
                )
                self._findings.error(value_place(self._root, path), path, message)
        return right

    def _of(self, name: str) -> list[Candidate]:
        return [one for one in self._asked if one.model.name == name]

    def _embeds(self) -> None:
        for side in ("first", "then"):
            name = getattr(self._cascade, side)
            if Capability.EMBEDDINGS in self._of(name)[0].model.capabilities:
                path = (*self._path, side)
                message = f"model {quoted(name)} embeds, and an embedding cannot be checked"
                self._findings.error(value_place(self._root, path), path, message)

    def _order(self) -> None:
        leads = self._asked[0].model.name
        if leads == self._cascade.then and len(self._route.use[0].candidates) == len(
            self._of(leads)
        ):
            self._warn(
                "first",
                f"{leads!r} stands before it in `use` and is asked first, so that no answer is checked; "
                f"write `use: [{self._cascade.first}, {leads}]`",
            )

    def _prices(self) -> None:
        dearest = [one.price for one in self._of(self._cascade.first)]
        then = [one.price for one in self._of(self._cascade.then)]
        firsts = [price.usd_per_mtok_out for price in dearest if price is not None]
        thens = [price.usd_per_mtok_out for price in then if price is not None]
        if firsts and thens and max(thens) <= min(firsts):
            self._warn(
                "then",
                f"{self._cascade.then!r} is not dearer than {self._cascade.first!r}, so that asking it at "
                "once would never cost more",
            )

    def _checks(self) -> None:
        cascade = self._cascade
        can = self._of(cascade.first)[0].model.capabilities
        if cascade.low_logprob is not None and Capability.LOGPROBS not in can:
            self._warn(
                "escalate_if.low_logprob",
                f"model {cascade.first!r} does not list logprobs in its capabilities, so that it is not "
                "asked for them and this is not checked, unless a backend tells them unasked",
            )
        if cascade.schema_invalid and not can & {Capability.JSON_SCHEMA, Capability.TOOLS}:
            self._warn(
                "escalate_if.schema_invalid",
                f"model {cascade.first!r} lists neither json_schema nor tools in its capabilities, so that "
                "requests with a schema never go to it; only `json_object` is checked",
            )
        streams = any(
            isinstance(one, Flag) and one.fact == "stream" and one.value
            for one in self._route.when.conditions
        )
        if streams or self._route.slo.ttft_ms:
            self._warn(
                "first",
                "a stream of this route begins when the whole first answer is there and was checked: its "
                "first token comes late",
            )
